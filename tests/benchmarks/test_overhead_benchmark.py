"""The overhead of a trial is counted in the same way on both sides, for the same trials."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import overhead
from benchmarks.scale import Counter, Mark
from datasets.synthetic.esc50 import write as write_esc50


def marks(*moments: float) -> list[Mark]:
    """The clocks of the driver at the start and the end of each trial; its CPU works a tenth of the time."""
    return [Mark(n, wall_s, wall_s / 10, 0.0) for n, wall_s in enumerate(moments)]


def test_trials_of_cold_workers_are_not_counted() -> None:
    """With two workers, the first four ends are not counted, and the next two within a second mean 1 s each."""
    wall_s, cpu_s = overhead.each(marks(0, 5, 5, 6, 6, 6.5, 7), at_once=2)
    assert wall_s == pytest.approx(1)
    assert cpu_s == pytest.approx(0.05)


def test_sides_take_turns_and_the_median_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every side gets the same trials in every round; one disturbed round changes nothing."""
    calls: list[tuple[str, str, int, int]] = []

    def side(name: str, *slots_s: float) -> Any:
        rounds = iter(slots_s * 2)  # of two kinds of trials

        def run(trial: overhead.Trial, num_trials: int, at_once: int, storage: Path) -> list[Mark]:
            calls.append((name, trial.__name__, num_trials, at_once))
            slot_s = next(rounds)
            return marks(*(n * slot_s for n in range(num_trials + 1)))

        return run

    monkeypatch.setattr(overhead, "ours", side("ours", 0.25, 0.25, 9.0, 0.25, 0.25, 9.0))
    monkeypatch.setattr(overhead, "peer", side("peer", 1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    firsts = iter(((30.0, 20.0), (50.0, 20.0), (31.0, 20.0)))
    monkeypatch.setattr(overhead, "first_epoch", lambda root: next(firsts))
    path = tmp_path / "results.json"
    flags = ["--trials", "8", "--at-once", "1", "--rounds", "3", "--data-root", str(tmp_path), "--json", str(path)]
    overhead.main(flags)
    names = [("ours", "nothing"), ("peer", "nothing"), ("ours", "loads_timm"), ("peer", "loads_timm")]
    assert calls == [(*name, 8, 1) for name in names] * 3
    first, *rows = json.loads(path.read_text())["rows"]
    assert (first["case"], first["ours"], first["peer"]) == ("first epoch, from the command", 31, 20)
    assert first["met"]
    assert [row["case"] for row in rows[::2]] == ["a trial that does nothing", "a trial that loads timm"]
    assert [row["ours"] for row in rows] == pytest.approx([0.25, 0.025] * 2)
    assert [row["ratio"] for row in rows] == pytest.approx([4] * 4)
    assert all(row["met"] for row in rows)


def test_the_goal_of_the_first_epoch_is_twice_the_script() -> None:
    """It does not depend on the speed of the machine."""
    row = overhead.first_row([(45.0, 20.0)])
    assert (row.met, row.goal, row.ratio) == (False, "<= 2 x the script's", 20 / 45)
    assert overhead.first_row([(40.0, 20.0)]).met


def test_a_command_is_timed_until_something_is_done_and_ends_well(tmp_path: Path) -> None:
    """The file appears before the command ends; a failed command is no measurement."""
    program = f"import time; open({str(tmp_path / 'done')!r}, 'w'); time.sleep(1)"
    took = overhead.seconds_until([sys.executable, "-c", program], (tmp_path / "done").exists)
    assert 0 < took < overhead.seconds_until([sys.executable, "-c", program], lambda: False)
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1: .*no luck"):
        overhead.seconds_until([sys.executable, "-c", "raise SystemExit('no luck')"], lambda: False)


def test_both_commands_of_the_first_epoch_end_with_it(tmp_path: Path) -> None:
    """The script runs alone, and the study accepts its arguments."""
    write_esc50(tmp_path / "events", num_per_class=8, num_classes=2)
    script = [sys.executable, "-m", "benchmarks.plain_script", str(tmp_path / "events"), overhead.NETWORK, "1"]
    assert overhead.seconds_until(script, lambda: False) > 0
    words = ["--limit", "1", *(word for field in overhead.FIELDS for word in ("--set", field))]
    study = [sys.executable, "-m", "sweeps.deepship_rates", "--dry-run", "--storage", str(tmp_path), *words]
    assert overhead.seconds_until(study, lambda: False) > 0


def test_too_few_trials_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With two workers and four trials, none is left to count."""
    with pytest.raises(SystemExit):
        overhead.main(["--trials", "4", "--at-once", "2"])
    assert "--trials 4: must be above 4" in capsys.readouterr().err


def test_a_trial_that_fails_shows_nothing() -> None:
    """There is no figure, and the error has the reason of the first failure."""
    counter = Counter(every=1)
    counter.started("")
    counter.finished("", "")
    assert [m.trials for m in overhead.checked(counter, 1)] == [0, 1]
    counter.failed("", "a bug")
    with pytest.raises(RuntimeError, match=r"1 of 2 trials ended; \['a bug'\]"):
        overhead.checked(counter, 2)


@pytest.mark.ray
@pytest.mark.parametrize("side", [overhead.ours, overhead.peer])
def test_both_sides_end_every_trial(side: overhead.Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real Ray, all trials end, and the clock advances at each."""
    monkeypatch.setenv("RAY_ADDRESS", "local")
    clocks = side(overhead.nothing, 3, 1, tmp_path)
    assert [m.trials for m in clocks] == [0, 1, 2, 3]
    assert [m.wall_s for m in clocks] == sorted({m.wall_s for m in clocks})
