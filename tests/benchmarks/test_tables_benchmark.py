"""Both tables on k GPUs: both orders have the same trials and seconds, and a bound that no schedule beats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import tables
from sweeps.engine.forecast.cost import longest_first
from trainable.config import TrialConfig

TRIALS = [trial for table in tables.TABLES.values() for trial in table]
BY_OPERATIONS = tables.all_epochs(tables.predictions(TRIALS, {}))


def write_times(path: Path, step_s: float = 0.01, eval_clip_s: float = 0.0) -> Path:
    """Writes times in which all networks are equally fast."""
    cells = {(t.backbone, t.num_frames, t.batch) for t in TRIALS}
    rows = [
        {"backbone": b, "frames": f, "batch": n, "step_s": step_s, "eval_clip_s": eval_clip_s, "device": "a toy"}
        for b, f, n in sorted(cells)
    ]
    path.write_text(json.dumps(rows))
    return path


def test_all_trials_of_both_tables_are_timed() -> None:
    """There are 54 and 30; the longest is the 8 kHz network on 64 kHz, or the largest of Table II."""
    assert [len(table) for table in tables.TABLES.values()] == [54, 30]
    assert set(BY_OPERATIONS) == {t.key for t in TRIALS}
    longest = longest_first(TRIALS, {})[0]
    assert (longest.pretrain_hz, longest.data_hz) == (8_000, 64_000)


@pytest.mark.parametrize("num_gpus", [1, 2, 7, 8, 16])
def test_both_orders_do_the_same_work(num_gpus: int) -> None:
    """Neither order ends before the bound, and on one GPU both end with it."""
    ours = longest_first(TRIALS, {})
    assert sorted(t.key for t in ours) == sorted(t.key for t in TRIALS)
    least = tables.bound(TRIALS, BY_OPERATIONS, num_gpus)
    end_times = [tables.ends(order, BY_OPERATIONS, num_gpus) for order in (ours, TRIALS)]
    assert min(end_times) >= least * (1 - 1e-9)
    if num_gpus == 1:
        assert end_times == [pytest.approx(least)] * 2


def test_a_bound_is_an_equal_share_or_the_longest_trial() -> None:
    """For 3, 2 and 1 s it is 6 s on one GPU, and 3 s on two or more."""
    trials = TRIALS[:3]
    seconds = {t.key: float(s) for t, s in zip(trials, (3, 2, 1), strict=True)}
    assert [tables.bound(trials, seconds, n) for n in (1, 2, 3, 8)] == [6, 3, 3, 3]


def test_measured_steps_are_counted(tmp_path: Path) -> None:
    """A trial with 11,544 samples in batches of 64 makes 180.4 steps an epoch, and predicts 3,974 + 6,708 clips."""
    cells, device = tables.read_times(write_times(tmp_path / "times.json", 0.01, 0.001), TRIALS)
    seconds = tables.all_epochs(tables.predictions(TRIALS, cells))
    trial: TrialConfig = tables.TABLES["Table II"][0]
    assert seconds[trial.key] == pytest.approx(100 * (11_544 / 64 * 0.01 + 3.974) + 6.708, abs=1)
    assert device == "a toy"


def test_a_cell_that_was_not_measured_is_named(tmp_path: Path) -> None:
    """The message has its network, frames and batch."""
    path = write_times(tmp_path / "times.json")
    rows = [row for row in json.loads(path.read_text()) if row["backbone"] != "resnet38"]
    path.write_text(json.dumps(rows))
    with pytest.raises(SystemExit, match=r"times\.json: has no resnet38 at 501 frames, batch 64; measure"):
        tables.main(["--times", str(path)])


def test_hours_are_told_only_where_they_were_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without measured steps there are no hours; with them there is a verdict. Schedules are judged on 8 GPUs."""
    results = tmp_path / "results.json"
    tables.main(["--json", str(results), "--gpus", "1,8"])
    hours, *schedules = json.loads(results.read_text())["rows"]
    assert (hours["ours"], hours["met"]) == (None, None)
    assert len(schedules) == 2 * 4
    assert [row["case"] for row in schedules if row["goal"]] == ["both, two commands, 8 GPUs"]
    tables.main(["--json", str(results), "--gpus", "8", "--times", str(write_times(tmp_path / "times.json"))])
    assert json.loads(results.read_text())["rows"][0]["met"] is True
    assert "GPU-h" in capsys.readouterr().out
