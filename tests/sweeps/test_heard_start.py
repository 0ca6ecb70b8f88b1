"""A sweep that starts from a run's weights, and would test what that run has heard: refused, or allowed and stamped."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest

from datasets.engine import manifest, prepare, splits
from datasets.engine.prepare import Source
from datasets.synthetic.deepship import write as write_deepship
from sweeps.engine import survey
from sweeps.engine.command import commandline
from sweeps.engine.command.options import Options
from sweeps.engine.launch import launch
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.situation import Situation, folder_name, trial_tags, wanted_by
from tests.sweeps.small import BASE
from trainable.result import record
from trainable.result.record import Record
from trainable.weights import checkpoint, weights
from trainable.weights.heard import HeardBefore

pytestmark = pytest.mark.slow

BEFORE = dataclasses.replace(BASE, split="recording", score_on="test")
SWEEP = Sweep("toy", grid(BEFORE.but(weights=f"run:{BEFORE.key}"), split=("recording", "recording:1/3"), seed=(1, 2)))
SAME, OTHER = SWEEP.trials[0], SWEEP.trials[2]  # the split of the run, and one with other roles


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A storage with a run that is committed without being trained, beside the corpus in `ships`."""
    root = tmp_path_factory.mktemp("heard")
    write_deepship(root / "ships", num_per_class=4, seconds=(1, 2), rate_hz=4_000)
    shutil.copy(empty_database, root / "mlflow.db")
    data = prepare.prepare(wanted_by(BEFORE), Source(root / "ships", root / "cache"))
    splits.write(data.split, root / "splits")
    manifest.write(data.scan, root / "scans")
    inputs = survey.inputs_of(data, None)
    folder = root / "trials" / folder_name(BEFORE, inputs)
    checkpoint.save(folder / "attempt-1" / "best.pt", {"key": BEFORE.key})
    left = sorted((folder / "attempt-1").iterdir())
    hashes, sizes = ({p.name: of(p) for p in left} for of in (weights.sha256, lambda p: p.stat().st_size))
    its = Record(BEFORE.key, BEFORE.to_dict(), inputs.tags, {}, [], {}, "attempt-1", hashes, sizes)
    record.put_in_place(folder, record.commit(folder, its))
    return root


def words(storage: Path, *more: str) -> list[str]:
    return ["--data-root", str(storage / "ships"), "--storage", str(storage), *more]


def options(storage: Path, *more: str) -> Options:
    return commandline.options_of(commandline.study_parser("toy", "").parse_args(words(storage, *more)))


def plan(storage: Path) -> Situation:
    """All trials are to run."""
    source = Source(storage / "ships", storage / "cache")
    data = {wanted: prepare.prepare(wanted, source) for wanted in survey.all_wanted(SWEEP.trials)}
    inputs = {t.key: survey.inputs_of(data[wanted_by(t)], None) for t in SWEEP.trials}
    return Situation(SWEEP, "", data, inputs, [])


def test_a_start_is_refused(storage: Path) -> None:
    """Before anything is trained, in one line for both seeds; the same split is no reason."""
    with pytest.raises(HeardBefore, match=r"of the .* test recordings of split=recording:1/3 were in the tr") as error:
        launch(SWEEP, words(storage))
    assert len(str(error.value).splitlines()) == 1
    assert len(list((storage / "trials").iterdir())) == 1
    assert survey.unheard(dataclasses.replace(plan(storage), sweep=Sweep("toy", (SAME,))), options(storage)).heard == {}


def test_a_plan_says_that_it_will_be_refused(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two trials of four, with the remedy; if it is allowed, the plan says what they have heard."""
    launch(SWEEP, words(storage, "--dry-run"))
    told = capsys.readouterr().out
    assert f"refused  2 trials: weights=run:{BEFORE.key}: " in told
    assert "--allow-heard" in told
    launch(SWEEP, words(storage, "--dry-run", "--allow-heard"))
    told = capsys.readouterr().out
    assert "refused" not in told
    assert "heard    2 trials start from runs that were trained on: " in told


def test_what_is_allowed_is_stamped(storage: Path) -> None:
    """The tag of a trial says how many of its test recordings its start has heard; other trials have none."""
    now = survey.unheard(plan(storage), options(storage, "--allow-heard"))
    waiting = dataclasses.replace(plan(storage), inputs={})  # as for a miniature that has yet to pre-train
    assert survey.unheard(waiting, options(storage)).heard == {}
    assert set(now.heard) == {t.key for t in SWEEP.trials if t.split == OTHER.split}
    roles = [now.data[wanted_by(t)].split.roles for t in (SAME, OTHER)]
    test = [name for name, role in roles[1].items() if role == "test"]
    both = [name for name in test if roles[0][name] != "test"]
    assert both
    assert trial_tags(now, OTHER, {})["heard"] == f"{len(both)} of {len(test)} test recordings"
    assert "heard" not in trial_tags(now, SAME, {})
