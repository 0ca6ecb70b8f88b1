"""The printed plan and outcome give the state, the next steps, and the command for them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from datasets.engine.corpus import Corpus, Problem, Recording
from datasets.engine.decoding.audio import AudioFacts
from datasets.engine.prepare import Prepared
from datasets.engine.scan import Scan
from datasets.engine.splits import Split
from sweeps.engine import estimate
from sweeps.engine.command.commandline import options_of, study_parser
from sweeps.engine.command.options import Options
from sweeps.engine.estimate import Spent
from sweeps.engine.forecast.cost import Basis, Cluster, Prediction, Span
from sweeps.engine.plan import Sweep, folds, grid
from sweeps.engine.report import MAX_LINES, clip_bytes, listed, print_outcome, print_plan
from sweeps.engine.situation import Inputs, Situation, wanted_by
from sweeps.engine.store.runs import Run
from sweeps.recipes.mohammadi import RATES

BASE = RATES
SWEEP = Sweep("toy", grid(BASE, data_hz=(8_000, 16_000), seed=(1, 2)))
INPUTS = Inputs("d" * 64, "5" * 64, "e" * 64)
RECORDINGS = tuple(Recording(f"Tug/{n}", Path(f"{n}.wav"), "Tug") for n in range(3))
CORPUS = Corpus("deepship", Path("/ships"), ("Cargo", "Tug"), RECORDINGS, notes=("a join failed",))
FACTS = {r.id: AudioFacts(r.id, 8_000, 8_000, 1, 0.5, 0.1) for r in RECORDINGS}
PREPARED = Prepared(
    Scan(CORPUS, FACTS, (Problem(Path("bad.wav"), "empty"),)),
    Split("recording", {}, ("balanced by clips",)),
    {"train": (7, 70), "validation": (1, 10), "test": (2, 20)},
)


def arguments(*words: str) -> Options:
    return options_of(
        study_parser(SWEEP.name).parse_args(
            ["--storage", "/results", "--weights-dir", "/weights", "--cache-dir", "/results/cache", *words]
        )
    )


def situation(finished: int = 0, sweep: Sweep = SWEEP, known: bool = True, variant: str = "") -> Situation:
    runs = [
        Run("r", "toy", "n", "FINISHED", {}, {}, {"key": t.key, **INPUTS.tags}, "") for t in sweep.trials[:finished]
    ]
    data = {wanted_by(BASE): PREPARED} if known else {}
    return Situation(sweep, variant, data, {t.key: INPUTS for t in sweep.trials} if known else {}, runs)


def lines_of(capsys: pytest.CaptureFixture[str]) -> dict[str, list[str]]:
    """The lines of a plan under their headings."""
    by_heading: dict[str, list[str]] = {}
    heading = ""
    for line in capsys.readouterr().out.splitlines():
        heading = line[:9].strip() or heading
        by_heading.setdefault(heading, []).append(line[9:])
    return by_heading


def test_a_plan_counts_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    """Planned, done and remaining trials add up, and the cells to run are named with their seeds."""
    print_plan(situation(finished=1), arguments())
    lines = lines_of(capsys)
    assert lines["sweep"] == ["toy"]
    assert lines["trials"] == ["4 planned, 1 done, 3 to run"]
    assert lines["to run"][:2] == ["cnn14-32k on 16 kHz, seed 1, 2", "cnn14-32k on 8 kHz, seed 2"]


def test_cells_are_told_apart_by_whatever_the_study_varies(capsys: pytest.CaptureFixture[str]) -> None:
    """Examples are a field besides networks and rates, and a setting that only some trials have."""
    trials = grid(BASE, augment=("none", "mixup"), seed=(1, 2)) + grid(
        BASE, schedule=("steps",), **{"schedule.after": "39"}
    )
    print_plan(situation(sweep=Sweep("wide", trials)), arguments())
    named = {line.partition(", ")[2] for line in lines_of(capsys)["to run"] if "kHz" in line}
    assert {"augment=none, schedule=constant, seed 1, 2", "augment=mixup, schedule=constant, seed 1, 2"} <= named
    assert any("schedule=steps, schedule.after=3" in line for line in named)


def test_a_plan_says_what_a_report_must_repeat(capsys: pytest.CaptureFixture[str]) -> None:
    """Notes on the corpus and the split, and the files left out, are below the data."""
    print_plan(situation(), arguments())
    lines = lines_of(capsys)
    assert lines["data"] == [
        "deepship in /ships: 3 recordings of Cargo, Tug",
        "a join failed",
        "balanced by clips",
        "left out: bad.wav: empty",
    ]
    assert lines["split"] == ["recording: train 7 (70 clips), validation 1 (10 clips), test 2 (20 clips)"]


def test_a_plan_says_where_everything_goes(capsys: pytest.CaptureFixture[str]) -> None:
    """It names the weights, the clips with their size, the store and the storage."""
    print_plan(situation(variant="epochs=2"), arguments())
    lines = lines_of(capsys)
    assert lines["sweep"] == ["toy with epochs=2"]
    assert lines["weights"] == ["published, from /weights"]
    assert lines["clips"] == ["/results/cache: 0.02 GB at all rates of the plan"]
    assert lines["store"] == ["sqlite:////results/mlflow.db"]
    assert lines["storage"][0].startswith("/results: ")


def test_clips_are_counted_once_for_a_rate() -> None:
    """They take two bytes per sample, for every role, at each rate; seeds share them."""
    assert clip_bytes(situation()) == 2 * 100 * 5 * (8_000 + 16_000)


def test_folds_share_their_data_and_their_clips(capsys: pytest.CaptureFixture[str]) -> None:
    """The corpus, its notes and its clips are told once, and every split is."""
    sweep = Sweep("toy", grid(BASE, split=folds("recording", 3)))
    three = {
        wanted_by(trial): dataclasses.replace(PREPARED, split=Split(trial.split, {}, (f"only {trial.split}",)))
        for trial in sweep.trials
    }
    planned = dataclasses.replace(situation(sweep=sweep), data=three)
    print_plan(planned, arguments())
    lines = lines_of(capsys)
    assert lines["data"] == [
        "deepship in /ships: 3 recordings of Cargo, Tug",
        "a join failed",
        "only recording:1/3",
        "left out: bad.wav: empty",
        "only recording:2/3",
        "only recording:3/3",
    ]
    assert [line.partition(": ")[0] for line in lines["split"]] == list(folds("recording", 3))
    assert clip_bytes(planned) == 2 * 100 * 5 * BASE.data_hz
    assert planned.sweep_tags["mlflow.note.content"].count("a join failed") == 1


def test_a_dry_run_without_data_says_what_it_cannot_know(capsys: pytest.CaptureFixture[str]) -> None:
    """The done trials depend on the data."""
    print_plan(situation(known=False), arguments("--dry-run"))
    lines = lines_of(capsys)
    assert lines["trials"] == ["4 planned; how many are done is unknown: name the corpus with --data-root"]
    assert lines["clips"] == ["/results/cache: size unknown without a corpus"]
    print_plan(situation(known=False), arguments("--dry-run", "--data-root", "/ships"))
    assert "unknown: /ships was not read yet" in lines_of(capsys)["trials"][0]


def test_trials_that_cannot_start_are_counted_by_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """A dry run names the files that will be needed."""
    one, *others = (t.key for t in SWEEP.trials)
    refused = {one: "x.pth is missing", **dict.fromkeys(others, "y.pth is missing")}
    print_plan(dataclasses.replace(situation(), refused=refused), arguments("--dry-run"))
    assert lines_of(capsys)["refused"] == ["1 trial: x.pth is missing", "3 trials: y.pth is missing"]


@pytest.mark.parametrize(
    ("seeds", "text"), [([3, 1, 2], "1-3"), ([1, 2, 4], "1, 2, 4"), ([1, 2, 3, 7, 8], "1-3, 7, 8"), ([5], "5")]
)
def test_seeds_are_listed_briefly(seeds: list[int], text: str) -> None:
    """A thousand of them take one word."""
    assert listed(seeds) == text


class TestTime:
    def test_is_not_invented(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a measurement, operations are counted: four trials of 9.8 and 4.7 GFLOP, 35 samples and 10 clips."""
        print_plan(situation(), arguments("--dry-run"))
        (line,) = lines_of(capsys)["time"]
        assert line.startswith("unknown for 4 trials: 334 TFLOP if none stops early; --measure finds out")

    def test_follows_an_assumed_speed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The plan says so, with the cluster, the epochs, and what is excluded."""
        options = arguments("--dry-run", "--tflops", "0.1", "--gpus", "2", "--cpus", "8")
        print_plan(estimate.predicted(situation(), options), options)
        time, basis, what = lines_of(capsys)["time"]
        assert time == "21 min (14 min to 28 min) on 2 GPUs: 0.7 GPU-hours (0.47 to 0.93)"
        assert basis == "2 cells from their operations, at 0.1 TFLOP/s, as assumed"
        assert what == "for 51 to 100 epochs each (early stopping), without reading and resampling the audio"

    def test_is_money_and_energy(self, capsys: pytest.CaptureFixture[str]) -> None:
        """GPUs cost money from start to end, and draw power while they work."""
        options = arguments("--tflops", "0.1", "--gpus", "2", "--price-per-hour", "3", "--watts", "700")
        print_plan(estimate.predicted(situation(), options), options)
        lines = lines_of(capsys)
        assert lines["cost"] == ["2.10 (1.42 to 2.78), at 3 an hour for each of 2 GPUs"]
        assert lines["energy"] == ["0.49 kWh (0.33 to 0.65), at 700 W for each GPU that works"]

    def test_says_that_it_rests_on_finished_trials(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Their number, device and cells are given; if all cells have run, early stopping is not guessed."""
        hour, basis = Span(3000, 3600, 4200), Basis(cluster=Cluster(2), ran_on="CPU (toy)", flops_per_s=Span(1, 1, 1))
        past = {t.key: Prediction(hour, num_finished=3) for t in SWEEP.trials}
        print_plan(dataclasses.replace(situation(), predictions=past, basis=basis), arguments())
        lines = lines_of(capsys)["time"]
        assert lines[0].startswith("2 h 00 min (1 h 40 min to 2 h 20 min) on 2 CPUs: 4 CPU-hours")
        assert lines[1:] == [
            "2 of 2 cells from 6 finished trials on CPU (toy)",
            "without reading and resampling the audio",
        ]
        mixed = past | {t.key: Prediction(hour) for t in SWEEP.trials[2:]}
        print_plan(dataclasses.replace(situation(), predictions=mixed, basis=basis), arguments())
        lines = lines_of(capsys)["time"]
        assert lines[1] == "1 of 2 cells from 3 finished trials on CPU (toy)"
        assert lines[2].startswith("1 cells from their operations")
        assert lines[3].startswith("for 51 to 100 epochs each (early stopping)")

    def test_needs_the_corpus(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The number of clips is that of the corpus."""
        print_plan(situation(known=False), arguments("--dry-run"))
        assert lines_of(capsys)["time"][0].startswith("unknown until the corpus has been read")

    def test_of_nothing_is_not_said(self, capsys: pytest.CaptureFixture[str]) -> None:
        """All trials are done."""
        print_plan(situation(finished=4), arguments())
        assert "time" not in lines_of(capsys)


def test_an_outcome_says_how_wrong_the_plan_was(capsys: pytest.CaptureFixture[str]) -> None:
    """Two trials of a predicted minute each, on two cores, took two minutes and one."""
    state = situation(finished=2)
    one, two, *_ = (t.key for t in SWEEP.trials)
    minute = Prediction(Span(60, 60, 90))
    state = dataclasses.replace(
        state, predictions={t.key: minute for t in SWEEP.trials}, basis=Basis(cluster=Cluster(2))
    )
    print_outcome(state, arguments(), {}, Spent(120.0, {one: 120.0, two: 60.0}))
    assert (
        "took:   2 min, 60 s (60 s to 2 min) predicted (-50 %); 0.05 CPU-hours, "
        "0.033 CPU-hours (0.033 to 0.05) predicted (-33 %)"
    ) in capsys.readouterr().out.splitlines()


def test_an_outcome_without_a_prediction_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to compare with."""
    print_outcome(situation(finished=4), arguments(), {}, Spent(1.0, {SWEEP.trials[0].key: 1.0}))
    assert "took" not in capsys.readouterr().out


def test_a_long_plan_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Some cells are named; the others are counted."""
    sweep = Sweep("long", grid(BASE, data_hz=range(8_000, 8_000 + MAX_LINES + 7)))
    print_plan(situation(sweep=sweep), arguments())
    to_run = [line for line in lines_of(capsys)["to run"] if line]
    assert len(to_run) == MAX_LINES + 1
    assert to_run[-1] == "and 7 cells more"


def test_an_outcome_names_failures_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    """It counts the finished trials, says why others are not, and names the table of exactly these trials."""
    options = arguments("--seeds", "1,2", "--set", "classes=Cargo,Tug")
    failed = SWEEP.trials[3]
    print_outcome(situation(finished=3), options, {failed.key: "Traceback\n  ...\nNotFinite: lower lr\n"})
    assert capsys.readouterr().out.splitlines() == [
        "",
        "3 of 4 trials of toy are finished",
        f"  cnn14-32k on 16 kHz, seed 2 (key {failed.key}) failed: NotFinite: lower lr",
        "table:  python -m analysis.toy --seeds 1,2 --set classes=Cargo,Tug --storage /results",
        "runs:   mlflow ui --backend-store-uri sqlite:////results/mlflow.db",
        "        then open http://127.0.0.1:5000",
    ]


def test_commands_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    """A path with a space is quoted wherever a command is printed."""
    options = arguments("--storage", "/my results")
    print_outcome(situation(finished=4), options, {})
    table, runs, _ = capsys.readouterr().out.splitlines()[-3:]
    assert table.endswith("--storage '/my results'")
    assert runs.endswith("'sqlite:////my results/mlflow.db'")
