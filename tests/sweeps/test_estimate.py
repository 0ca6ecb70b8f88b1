"""Predictions follow from the last measurement of the storage, or from the assumptions of the flags."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from datasets.engine.corpus import Corpus, Recording
from datasets.engine.decoding.audio import AudioFacts
from datasets.engine.prepare import Prepared
from datasets.engine.scan import Scan
from datasets.engine.splits import Split
from sweeps.engine import estimate
from sweeps.engine.command.commandline import options_of, study_parser
from sweeps.engine.command.options import Options
from sweeps.engine.forecast import timings
from sweeps.engine.forecast.budget import NoBudget
from sweeps.engine.forecast.cost import Cluster
from sweeps.engine.forecast.timings import Timings, versions
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.situation import Situation, wanted_by
from sweeps.engine.store.runs import Run
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.cost.cost import Measured, cell_of, forward_flops
from trainable.result.record import Record

BASE = RATES.but(augment="none", epochs=8)
SWEEP = Sweep("toy", grid(BASE, data_hz=(8_000, 32_000), seed=(1, 2)))
DATA = Prepared(
    Scan(Corpus("deepship", Path("/ships"), ("Cargo", "Tug"), (Recording("Tug/1", Path("1.wav"), "Tug"),)), {}),
    Split("recording", {}),
    {"train": (7, 64), "validation": (1, 10), "test": (2, 20)},
)
MEASURED = Measured((2.0,), (0.1,), 0.0, 0.0, 0.0, 0.0, 9.5)
HERE = f"toy, {versions()}"


def arguments(storage: Path, *words: str) -> Options:
    return options_of(study_parser(SWEEP.name).parse_args(["--storage", str(storage), *words]))


def situation(storage: Path, *words: str, records: dict[str, Record] | None = None) -> Situation:
    unpredicted = Situation(SWEEP, "", {wanted_by(BASE): DATA}, {}, [], records or {})
    return estimate.predicted(unpredicted, arguments(storage, *words))


@pytest.fixture
def timed(tmp_path: Path) -> Path:
    """A storage with a measurement of the large cell on two GPUs."""
    timings.write(Timings(Cluster(16, 2, 100.0), HERE, {HERE: {cell_of(SWEEP.trials[2]): MEASURED}}), tmp_path)
    return tmp_path


def test_nothing_is_known_without_a_measurement(tmp_path: Path) -> None:
    """Nothing is invented either."""
    assert situation(tmp_path).predictions == {}


def test_a_measured_cell_is_measured_for_all_its_seeds(timed: Path) -> None:
    """Two steps of 2 s per epoch, ten clips of 0.1 s; the test clips; 0.3 s for the trial."""
    predictions = situation(timed).predictions
    assert [predictions[t.key].seconds.mid for t in SWEEP.trials[2:]] == pytest.approx([8 * (2 * 2 + 1) + 2 + 0.3] * 2)


def test_a_cell_that_was_not_measured_follows_the_rate(timed: Path) -> None:
    """Its operations take as long as those of the measured cell; its memory is unknown."""
    small, large = SWEEP.trials[0], SWEEP.trials[2]
    prediction = situation(timed).predictions[small.key]
    rate = 3 * (forward_flops(large) or 0) * large.batch / 2.0
    assert prediction.seconds.mid == pytest.approx(8 * (forward_flops(small) or 0) * (3 * 64 + 10) / rate)
    assert prediction.network_gb is None


def test_an_assumed_speed_replaces_what_was_measured(timed: Path) -> None:
    """The plan is for another cluster."""
    large = SWEEP.trials[2]
    prediction = situation(timed, "--tflops", "2").predictions[large.key]
    assert prediction.seconds.mid == pytest.approx(8 * (forward_flops(large) or 0) * (3 * 64 + 10) / 2e12)


def test_the_cluster_is_the_last_measured_or_the_flags(timed: Path) -> None:
    """A measurement on GPUs does not apply to a plan for cores."""
    assert estimate.basis(SWEEP.trials, arguments(timed)).cluster == Cluster(16, 2, 100.0)
    eight = estimate.basis(SWEEP.trials, arguments(timed, "--gpus", "8"))
    assert (eight.cluster.num_gpus, eight.cluster.num_cpus) == (8, 16)
    assert eight.measured
    cores = estimate.basis(SWEEP.trials, arguments(timed, "--gpus", "0", "--cpus", "4"))
    assert (cores.cluster.device, cores.cluster.num_cpus, cores.measured) == ("CPU", 4, {})


def test_memory_is_as_measured(timed: Path) -> None:
    """It decides how many trials share a GPU: 9.5 GB and a worker's 1.5 take half of 24."""
    plan, options = situation(timed), arguments(timed)
    large, small = SWEEP.trials[2], SWEEP.trials[0]
    assert estimate.needs(plan, [large])[large.key].network_gb == 9.5
    assert estimate.needs(plan, [small])[small.key].network_gb < 9.5
    assert estimate.device_parts(plan, options)[large.key] == 0.5


def test_predicted_seconds_order_what_is_to_run(timed: Path) -> None:
    """The longest comes first."""
    assert [t.data_hz for t in situation(timed).to_run] == [32_000, 32_000, 8_000, 8_000]


GPU = "NVIDIA H100"
FACTS = {"Tug/1": AudioFacts("a" * 64, 160_000, 32_000, 1, 0.5, 0.1)}
READ = dataclasses.replace(DATA, scan=dataclasses.replace(DATA.scan, facts=FACTS))
HASHES = {"data_sha256": READ.scan.sha256, "split_sha256": READ.split.sha256}


def finished(trial: TrialConfig, epoch_s: float, status: str = "FINISHED", took_s: float = 0.0, **tags: str) -> Run:
    """A run of all eight epochs on an H100."""
    params = {name: str(value) for name, value in trial.to_dict().items()}
    all_tags = {"key": trial.key, "device": GPU, "num_threads": "1", **HASHES, **tags}
    return Run("r", "toy", "n", status, params, {"epochs_run": 8.0, "epoch_s": epoch_s}, all_tags, "", took_s=took_s)


class TestHistory:
    SMALL, LARGE = SWEEP.trials[0], SWEEP.trials[2]

    def look(self, storage: Path, runs: Sequence[Run], *words: str) -> Situation:
        """Seeds 4 and 5 of both cells, which have never run."""
        plan = Sweep("toy", grid(BASE, data_hz=(8_000, 32_000), seed=(4, 5)))
        return estimate.predicted(Situation(plan, "", {wanted_by(BASE): READ}, {}, runs), arguments(storage, *words))

    def seconds(self, looked_at: Situation) -> list[float | None]:
        """The predicted time of each trial."""
        return [p.seconds.mid if (p := looked_at.predictions.get(t.key)) else None for t in looked_at.sweep.trials]

    def test_of_other_seeds_tells_of_a_new_one(self, tmp_path: Path) -> None:
        """The cells have run eight epochs of 10 and 12 s, and 4 s besides."""
        runs = [finished(self.LARGE, 10, took_s=84), finished(SWEEP.trials[3], 12, took_s=100)]
        looked_at = self.look(tmp_path, runs)
        assert self.seconds(looked_at) == [None, None, 92, 92]
        assert (looked_at.basis.ran_on, looked_at.basis.cluster.device) == (GPU, "GPU")

    @pytest.mark.parametrize(
        "other",
        [
            {"data_sha256": "0" * 64},
            {"split_sha256": "0" * 64},
            {"num_devices": "2"},
            {"status": "KILLED"},
        ],
    )
    def test_of_something_else_tells_nothing(self, other: dict[str, str], tmp_path: Path) -> None:
        """That is so for other clips, another share of the node, or a trial that did not finish."""
        assert self.look(tmp_path, [finished(self.LARGE, 10, **other)]).predictions == {}  # type: ignore[arg-type]

    def test_of_other_settings_tells_nothing(self, tmp_path: Path) -> None:
        """Neither does a trial that gave up before its end."""
        slower = finished(dataclasses.replace(self.LARGE, lr=1e-4), 10)
        gave_up = finished(self.LARGE, 10)
        gave_up.metrics["gave_up"] = 1.0
        assert self.look(tmp_path, [slower, gave_up]).predictions == {}

    def test_counts_on_the_device_of_the_last_run(self, tmp_path: Path) -> None:
        """A trial on a core does not predict one on a GPU; on a core it must have as many threads as now."""
        core = finished(self.SMALL, 100, device="CPU (toy)")
        assert self.seconds(self.look(tmp_path, [core, finished(self.LARGE, 10)])) == [None, None, 80.3, 80.3]
        assert self.seconds(self.look(tmp_path, [finished(self.LARGE, 10), core])) == [800.3, 800.3, None, None]
        assert self.look(tmp_path, [core], "--cpus-per-trial", "2").predictions == {}
        assert self.look(tmp_path, [core], "--gpus", "2").predictions == {}

    def test_counts_before_a_measurement_of_its_device(self, timed: Path) -> None:
        """The measured memory is used all the same; runs on another device do not count."""
        measured = self.seconds(self.look(timed, []))
        runs = [finished(self.LARGE, 10, device="toy"), finished(self.SMALL, 1)]
        looked_at = self.look(timed, runs)
        assert self.seconds(looked_at) == [*measured[:2], 80.3, 80.3]
        assert {p.network_gb for p in looked_at.predictions.values()} == {None, 9.5}

    def test_gives_way_to_an_assumed_speed(self, tmp_path: Path) -> None:
        """The plan is for another cluster."""
        looked_at = self.look(tmp_path, [finished(self.LARGE, 10)], "--tflops", "1", "--gpus", "1")
        assert {p.num_finished for p in looked_at.predictions.values()} == {0}

    def test_is_enough_for_a_budget(self, tmp_path: Path) -> None:
        """No measurement is needed if every cell has run."""
        runs = [finished(self.LARGE, 450), finished(self.SMALL, 225)]
        options = arguments(tmp_path, "--budget", "1gpu-h")
        remainder = estimate.budget_of(self.look(tmp_path, runs), options)
        assert remainder is not None
        assert sorted(remainder.predicted_s.values()) == pytest.approx([1800.3, 1800.3, 3600.3, 3600.3])


class TestBudget:
    def test_counts_what_is_finished(self, timed: Path) -> None:
        """Eight epochs of an hour ran on half a GPU."""
        done = SWEEP.trials[2]
        history = [{"epoch": n, "epoch_s": 3600.0} for n in range(8)]
        record = Record(done.key, {}, {}, {}, history, {}, "a", {})
        plan = situation(timed, records={done.key: record})
        remainder = estimate.budget_of(plan, arguments(timed, "--budget", "12gpu-h"))
        assert remainder is not None
        assert remainder.spent_s == pytest.approx(4 * 3600)
        assert done.key not in remainder.predicted_s

    def test_needs_predictions(self, tmp_path: Path) -> None:
        """Otherwise it would be a promise that cannot be kept."""
        with pytest.raises(NoBudget, match="--measure"):
            estimate.budget_of(situation(tmp_path), arguments(tmp_path, "--budget", "1cpu-h"))

    def test_is_counted_in_hours_of_what_there_is(self, timed: Path) -> None:
        """Core-hours mean nothing if trials run on GPUs."""
        with pytest.raises(NoBudget, match="write 1gpu-h"):
            estimate.budget_of(situation(timed), arguments(timed, "--budget", "1cpu-h"))

    def test_is_none_unless_asked_for(self, tmp_path: Path) -> None:
        """All trials run."""
        assert estimate.budget_of(situation(tmp_path), arguments(tmp_path)) is None


@pytest.mark.parametrize("words", [("--tflops", "0"), ("--watts", "-1"), ("--budget", "12"), ("--gpus", "-1")])
def test_impossible_flags_are_refused(words: tuple[str, str], tmp_path: Path) -> None:
    """Argparse refuses them, with exit code 2."""
    with pytest.raises(SystemExit, match="2"):
        arguments(tmp_path, *words)


def test_an_old_situation_is_left_as_it_was(timed: Path) -> None:
    """The predictions belong to a new one."""
    old = dataclasses.replace(situation(timed), predictions={})
    estimate.predicted(old, arguments(timed))
    assert old.predictions == {}
