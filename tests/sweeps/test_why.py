"""The reasons why a trial will run: its differences from existing trials."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from datasets.engine import manifest, splits
from datasets.engine.corpus import Corpus, Recording
from datasets.engine.decoding.audio import AudioFacts
from datasets.engine.prepare import Prepared
from datasets.engine.scan import Scan
from datasets.engine.splits import Split
from sweeps.engine.modules import Code
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.situation import Inputs, Situation, folder_name, wanted_by
from sweeps.engine.store.runs import Run
from sweeps.engine.why import everything, explain, reasons
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.result.record import FILE, Record, _encoded

BASE = RATES
SWEEP = Sweep("toy", grid(BASE, seed=(1, 2)))
ONE, TWO = SWEEP.trials
CODE = Code("c" * 64, {})


def prepared(*names: str, role: str = "train", content: str = "a") -> Prepared:
    """A corpus of recordings with one content, all in one role."""
    recordings = tuple(Recording(name, Path(name), "Tug") for name in names)
    facts = {name: AudioFacts(content * 64, 160_000, 32_000, 1, 0.5, 0.1) for name in names}
    scan = Scan(Corpus("deepship", Path("/ships"), ("Cargo", "Tug"), recordings), facts)
    return Prepared(scan, Split("recording", dict.fromkeys(names, role)), dict.fromkeys(splits.ROLES, (1, 1)))


NOW = prepared("Tug/1", "Tug/2")
INPUTS = Inputs(NOW.scan.sha256, NOW.split.sha256, "e" * 64)


def run_of(trial: TrialConfig, status: str = "FINISHED", inputs: Inputs = INPUTS, **tags: str) -> Run:
    """A run of the store, with its config as text, as in the store."""
    params = {name: str(value) for name, value in trial.to_dict().items()}
    all_tags = {"key": trial.key, **CODE.tags, **inputs.tags, **tags}
    return Run("r1", "toy", "n", status, params, {}, all_tags, "")


def situation(*runs: Run, **more: object) -> Situation:
    inputs = {t.key: INPUTS for t in SWEEP.trials}
    plan = Situation(SWEEP, "", {wanted_by(BASE): NOW}, inputs, runs)
    return dataclasses.replace(plan, **more)  # type: ignore[arg-type]


def told(plan: Situation, storage: Path, trial: TrialConfig = ONE, code: Code = CODE) -> list[str]:
    return reasons(trial, plan, everything(plan, storage), storage, code)


def test_a_finished_trial_will_not_run(tmp_path: Path) -> None:
    """The message says where its result is."""
    assert told(situation(run_of(ONE)), tmp_path) == ["will not run, it is finished (run r1)"]


def test_a_new_trial_is_held_against_the_nearest(tmp_path: Path) -> None:
    """It is the existing trial with the fewest differing fields, each named with its old and new value."""
    far = dataclasses.replace(BASE, seed=9, lr=1e-3, batch=8)
    near = dataclasses.replace(BASE, seed=9, lr=1e-3)
    first, *others = told(situation(run_of(far), run_of(near, "KILLED")), tmp_path)
    assert (
        first == f"will run: it never ran; the nearest that did is cnn14-32k on 32 kHz, seed 9 (key {near.key}, KILLED)"
    )
    assert others == ["seed: 9 -> 1", "lr: 0.001 -> 5e-05"]


def test_records_of_the_storage_are_looked_at_too(tmp_path: Path) -> None:
    """The store may never have received them."""
    other = dataclasses.replace(BASE, seed=7)
    folder = tmp_path / "trials" / f"{other.key}-1234"
    folder.mkdir(parents=True)
    committed = Record(other.key, other.to_dict(), CODE.tags, {}, [], {}, "a", {})
    (folder / FILE).write_bytes(_encoded(committed))
    assert told(situation(), tmp_path)[1:] == ["seed: 7 -> 1"]


def test_an_empty_store_is_said(tmp_path: Path) -> None:
    """There is nothing to compare with."""
    assert told(situation(), tmp_path) == ["will run: it never ran, and the store has nothing else"]


def test_other_data_name_the_recordings(tmp_path: Path) -> None:
    """New, missing and changed ones are named, if the storage has the old scan."""
    then = prepared("Tug/1", "Tug/0", content="b")
    manifest.write(then.scan, tmp_path / "scans")
    old = dataclasses.replace(INPUTS, data_sha256=then.scan.sha256)
    assert told(situation(run_of(ONE, inputs=old)), tmp_path) == [
        "will run: it was finished on other data",
        f"data: sha256 {then.scan.sha256[:12]} -> {NOW.scan.sha256[:12]}",
        "  1 new recordings: Tug/2",
        "  1 recordings that are gone: Tug/0",
        "  1 changed recordings: Tug/1",
    ]


def test_another_split_names_who_has_moved(tmp_path: Path) -> None:
    """The old and the new role are given."""
    then = prepared("Tug/1", "Tug/2", role="test")
    splits.write(then.split, tmp_path / "splits")
    old = dataclasses.replace(INPUTS, split_sha256=then.split.sha256)
    first, _, moved = told(situation(run_of(ONE, inputs=old)), tmp_path)
    assert first == "will run: it was finished on other split"
    assert moved == "  2 recordings in another role: Tug/1 (test -> train), Tug/2 (test -> train)"


def test_what_the_storage_no_longer_has_is_told_by_its_hash(tmp_path: Path) -> None:
    """Examples are other weights, and data whose scan is gone."""
    old = Inputs("0" * 64, INPUTS.split_sha256, "1" * 64)
    assert told(situation(run_of(ONE, inputs=old)), tmp_path) == [
        "will run: it was finished on other data, weights",
        f"data: sha256 000000000000 -> {NOW.scan.sha256[:12]}",
        "weights: sha256 111111111111 -> eeeeeeeeeeee",
    ]


def test_an_attempt_that_ended_otherwise_is_named(tmp_path: Path) -> None:
    """The last line of its failure is given, and the epoch after which it resumes."""
    folder = tmp_path / "trials" / folder_name(ONE, INPUTS)
    folder.mkdir(parents=True)
    (folder / "epoch-0003.pt").touch()
    lost = run_of(ONE, "KILLED", failure="Traceback\nthe sweep was stopped\n")
    assert told(situation(lost), tmp_path) == [
        "will run: an attempt at it ended as KILLED",
        "the sweep was stopped",
        "it resumes after epoch 3",
    ]


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        ("KILLED", "will run: an attempt at it on other data ended as KILLED"),
        ("FAILED", "will run: an attempt at it on other data ended as FAILED"),
        ("RUNNING", "will run: an attempt at it on other data is RUNNING elsewhere, or its driver has died"),
    ],
)
def test_no_trial_is_its_own_nearest(status: str, verdict: str, tmp_path: Path) -> None:
    """An attempt at it on other inputs is named as such, though no field differs; a finished one takes precedence."""
    old = dataclasses.replace(INPUTS, data_sha256="0" * 64)
    lost = run_of(ONE, status, inputs=old)
    data = f"data: sha256 000000000000 -> {NOW.scan.sha256[:12]}"
    assert told(situation(lost, run_of(TWO)), tmp_path) == [verdict, data]
    finished = run_of(ONE, inputs=dataclasses.replace(INPUTS, weights_sha256="1" * 64))
    assert told(situation(finished, lost), tmp_path)[0] == "will run: it was finished on other weights"


def test_an_attempt_that_seems_to_run_is_not_said_to_have_ended(tmp_path: Path) -> None:
    """Its driver may be alive elsewhere."""
    (verdict,) = told(situation(run_of(ONE, "RUNNING")), tmp_path)
    assert verdict == "will run: an attempt at it is RUNNING elsewhere, or its driver has died"


def test_a_record_whose_run_was_deleted_is_no_other_input(tmp_path: Path) -> None:
    """It stays in the storage until the next start sets it aside."""
    folder = tmp_path / "trials" / folder_name(ONE, INPUTS)
    folder.mkdir(parents=True)
    committed = Record(ONE.key, ONE.to_dict(), {**CODE.tags, **INPUTS.tags}, {}, [], {}, "a", {})
    (folder / FILE).write_bytes(_encoded(committed))
    assert told(situation(), tmp_path) == ["will run: it was finished, and its run was deleted from the store"]


def test_a_deleted_run_is_remembered(tmp_path: Path) -> None:
    """Its record was set aside."""
    folder = tmp_path / "trials" / folder_name(ONE, INPUTS)
    folder.mkdir(parents=True)
    (folder / "forgotten-12345678.json").touch()
    assert told(situation(), tmp_path) == ["will run: it was finished, and its run was deleted from the store"]


@pytest.mark.parametrize("trial", [ONE, TWO], ids=["finished", "new"])
def test_other_code_is_said_to_be_no_reason(trial: TrialConfig, tmp_path: Path) -> None:
    """Users might take it for one."""
    last = told(situation(run_of(ONE)), tmp_path, trial, Code("d" * 64, {}))[-1]
    assert last.startswith("code: sha256 cccccccccccc -> dddddddddddd; a change of code alone never")
    before, after = (Code(d * 64, {"trainable/finetune.py": d * 8, "trainable/trial.py": "a" * 8}) for d in "bd")
    last = told(situation(run_of(ONE, **before.tags)), tmp_path, trial, after)[-1]
    assert last.startswith(
        "code: sha256 bbbbbbbbbbbb -> dddddddddddd (trainable/finetune.py differs); a change of code alone"
    )


def test_another_backbone_is_no_other_code(tmp_path: Path) -> None:
    """The nearest trial uses a file that this one does not; the files that both use are the same."""
    mine, other = (Code(d * 64, {f"{d}.py": d * 8, "trainable/trial.py": "a" * 8}) for d in "bd")
    assert told(situation(run_of(ONE, **other.tags)), tmp_path, TWO, mine)[1:] == ["seed: 1 -> 2"]


def test_what_cannot_start_or_is_not_known_is_said(tmp_path: Path) -> None:
    """A checkpoint is missing, or a corpus was not read."""
    blind = situation(inputs={})
    assert told(blind, tmp_path) == ["whether it will run is unknown: its corpus has not been read yet (--data-root)"]
    refused = dataclasses.replace(blind, refused={ONE.key: "get x.pth"})
    assert told(refused, tmp_path) == ["cannot start: get x.pth"]


def test_a_key_may_be_shortened_and_all_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`all` prints one line per trial, with its key; a key that no trial has is refused."""
    plan = situation(run_of(ONE))
    assert explain(plan, TWO.key[:6], tmp_path) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(
        f"{TWO.key}  cnn14-32k on 32 kHz, seed 2: will run: it never ran; the nearest that did is cnn14-32k"
    )
    assert second == "              seed: 1 -> 2"
    assert explain(plan, "all", tmp_path) == 0
    assert [line[:12] for line in capsys.readouterr().out.splitlines()] == [ONE.key, TWO.key]
    assert explain(plan, "nothing", tmp_path) == 2
