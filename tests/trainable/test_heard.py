"""What a run has heard: a trial that starts from its weights must not be tested on that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from datasets.engine import manifest, splits
from datasets.engine.corpus import Corpus, Recording
from datasets.engine.decoding.audio import AudioFacts
from datasets.engine.prepare import Prepared
from datasets.engine.scan import Scan
from datasets.engine.splits import Split
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.result import record
from trainable.result.record import Record
from trainable.weights.heard import Heard, files_heard, heard_of_test, refusal

BEFORE = RATES.but(weights="none")
AFTER = BEFORE.but(weights=f"run:{BEFORE.key}", data_hz=4_000)


def prepared(roles: Mapping[str, str], prefix: str = "") -> Prepared:
    """Recordings with these roles; the bytes of a file are told by its name, so that a prefix makes a copy of it."""
    names = sorted(roles)
    recordings = tuple(Recording(f"{prefix}{n}", Path(f"/data/{prefix}{n}.wav"), "Tug") for n in names)
    facts = {f"{prefix}{n}": AudioFacts(n * 64, 8_000, 8_000, 1, 0.5, 0.1) for n in names}
    split = Split("recording", {f"{prefix}{n}": role for n, role in roles.items()})
    return Prepared(Scan(Corpus("deepship", Path("/data"), ("Tug",), recordings), facts), split, {})


def commit(storage: Path, trial: TrialConfig, data: Prepared, folder: str = "00000000") -> Path:
    """Leaves the record of a run, and the manifests of its data and split; returns the run's folder."""
    splits.write(data.split, storage / "splits")
    manifest.write(data.scan, storage / "scans")
    place = storage / "trials" / f"{trial.key}-{folder}"
    (place / "attempt-1").mkdir(parents=True)
    tags = {"data_sha256": data.scan.sha256, "split_sha256": data.split.sha256}
    record.commit(place, Record(trial.key, trial.to_dict(), tags, {}, [], {}, "attempt-1", {}))
    return place


EARLIER = {"a": "train", "b": "validation", "c": "test", "d": "train"}


def test_test_recordings_of_training_and_validation_are_found(tmp_path: Path) -> None:
    """By their bytes: the names and the corpus may be others. What the run was tested on, it has not heard."""
    commit(tmp_path, BEFORE, prepared(EARLIER))
    new = prepared({"a": "test", "b": "test", "c": "test", "d": "train", "e": "test"}, "copy of ")
    its = heard_of_test(AFTER, new, tmp_path / "trials")
    assert its == Heard(("copy of a", "copy of b"), 4)
    assert its.stamp == "2 of 4 test recordings"
    words = refusal(AFTER, its)
    assert words.startswith(f"weights=run:{BEFORE.key}: 2 of the 4 test recordings of split=recording were in the")
    assert "heard: copy of a, copy of b; pre-train on other recordings or with this same split" in words


@pytest.mark.parametrize("roles", [EARLIER, {"x": "train", "y": "validation", "z": "test"}])
def test_the_same_split_and_other_recordings_pass(roles: dict[str, str], tmp_path: Path) -> None:
    """Both are ways to pre-train without hearing the test."""
    commit(tmp_path, BEFORE, prepared(EARLIER))
    its = heard_of_test(AFTER, prepared(roles), tmp_path / "trials")
    assert (its.both, its.known, its.stamp) == ((), True, "")


@pytest.mark.parametrize("weights", ["none", "published"])
def test_other_weights_are_of_no_run(weights: str, tmp_path: Path) -> None:
    """Nothing is looked up for them."""
    assert heard_of_test(BEFORE.but(weights=weights), prepared(EARLIER), tmp_path) == Heard()


def test_what_the_start_of_the_run_had_heard_counts_too(tmp_path: Path) -> None:
    """Over two pre-trainings, that of the first is still heard."""
    commit(tmp_path, BEFORE, prepared({"a": "train", "b": "test"}))
    commit(tmp_path, AFTER, prepared({"c": "train", "d": "test"}))
    assert files_heard(AFTER.key, tmp_path / "trials") == {"a" * 64, "c" * 64}
    last = AFTER.but(weights=f"run:{AFTER.key}")
    assert heard_of_test(last, prepared({"a": "test", "c": "test", "d": "test"}), tmp_path / "trials").both == (
        "a",
        "c",
    )


@pytest.mark.parametrize("lost", ["record", "split", "scan", "start", "damaged"])
def test_where_something_is_lost_nothing_is_known(lost: str, tmp_path: Path) -> None:
    """A checkpoint from elsewhere, or a storage of which a part was deleted, is stamped as unknown and not as fine."""
    if lost != "start":
        commit(tmp_path, BEFORE, prepared(EARLIER))
    folder = commit(tmp_path, AFTER, prepared({"c": "train"}))
    if lost == "damaged":
        (folder / record.FILE).write_text("{}")
    gone = {"record": f"trials/{AFTER.key}-*/record.json", "split": "splits/*.csv", "scan": "scans/*.json"}.get(lost)
    for path in tmp_path.glob(gone) if gone else ():
        path.unlink()
    its = heard_of_test(AFTER.but(weights=f"run:{AFTER.key}"), prepared(EARLIER), tmp_path / "trials")
    assert (its.both, its.known, its.stamp) == ((), False, "unknown")


def test_a_run_on_two_inputs_is_unknown(tmp_path: Path) -> None:
    """Nothing tells which of them left the checkpoint."""
    commit(tmp_path, BEFORE, prepared(EARLIER))
    commit(tmp_path, BEFORE, prepared({"x": "train"}), "11111111")
    assert files_heard(BEFORE.key, tmp_path / "trials") is None


def test_manifests_that_are_kept_elsewhere_are_fetched(tmp_path: Path) -> None:
    """An object store has them, and this machine may not."""
    commit(tmp_path, BEFORE, prepared(EARLIER))
    (tmp_path / "splits").rename(tmp_path / "remote")
    asked = []

    def fetch(name: str) -> None:
        asked.append(name)
        (tmp_path / "remote").rename(tmp_path / "splits")

    assert files_heard(BEFORE.key, tmp_path / "trials", fetch) == {n * 64 for n in "abd"}
    assert asked == [f"splits/{prepared(EARLIER).split.sha256[:16]}.csv"]
