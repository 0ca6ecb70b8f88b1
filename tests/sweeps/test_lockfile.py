"""A sweep's lock: what it declares is added and never lost, and results are compared with it in words."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from datasets.engine.remote import Remote
from sweeps.engine.adaptive.looks import rule_of
from sweeps.engine.command.options import Options
from sweeps.engine.declared import declaring, lockfile, verification
from sweeps.engine.declared.lockfile import BadLock, lock_path
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.running import more_seeds
from sweeps.engine.situation import Inputs, Situation, folder_name
from sweeps.engine.store.runs import Run
from sweeps.recipes.mohammadi import RATES
from sweeps.reproduce.__main__ import main
from trainable.config import TrialConfig
from trainable.result import record
from trainable.result.record import Record

INPUTS = Inputs("d" * 64, "e" * 64, "none")
BASE = RATES.but(weights="none", schedule="steps", **{"schedule.after": "30,45"})


def plan(*seeds: int, **fields: object) -> Sweep:
    """Two data rates with some seeds."""
    return Sweep("toy", grid(BASE.but(**fields), data_hz=(8_000, 16_000), seed=seeds))


def score(trial: TrialConfig) -> float:
    """A score that falls with the seed, and is higher at 16 kHz."""
    return 0.5 + 0.2 * (trial.data_hz == 16_000) - 0.01 * trial.seed * (1 + (trial.data_hz == 8_000))


def commit(storage: Path, trials: Sequence[TrialConfig], inputs: Inputs = INPUTS) -> dict[str, Record]:
    """Commits a result of each trial in a storage, and returns their records by key."""
    code, records = declaring.codes(trials), {}
    for trial in trials:
        folder = storage / "trials" / folder_name(trial, inputs)
        (folder / "attempt-1").mkdir(parents=True)
        scores = {name: score(trial) for name in trial.metrics}
        tags = {**inputs.tags, "code_sha256": code[trial.key].sha256}
        made = {"device": "CPU", "versions": "torch 2"}
        its = Record(trial.key, trial.to_dict(), tags, scores, [], made, "attempt-1", {})
        records[trial.key] = record.commit(folder, its)
    return records


def situation(sweep: Sweep, records: dict[str, Record], runs: Sequence[Run] = ()) -> Situation:
    """A plan, of which these records are committed."""
    mine = {trial.key: records[trial.key] for trial in sweep.trials if trial.key in records}
    return Situation(sweep, "", {}, dict.fromkeys((t.key for t in sweep.trials), INPUTS), runs, mine)


def options(storage: Path, **more: object) -> Options:
    """The options of a command on a storage."""
    return Options(storage, storage, storage, **more)  # type: ignore[arg-type]


def test_a_lock_gives_back_the_trials_that_it_declares(tmp_path: Path) -> None:
    """Fields, settings of parts and hashes; each trial has the key that it had, and nothing had finished."""
    sweep = plan(1, 2)
    declaring.declare(situation(sweep, {}), options(tmp_path, set=("lr=5e-05",)))
    (entry,) = lockfile.read(lock_path(tmp_path, "toy")).declared
    assert [entry.config(key) for key in entry.trials] == [*sweep.trials]
    assert INPUTS.tags.items() <= entry.trials[sweep.trials[0].key].items()
    assert (entry.finished_before, entry.already, entry.why) == (0, 0, "planned")
    assert entry.about["comparisons"] == ["data_hz=8000 against 16000"]
    assert entry.about["command"] == "python -m sweeps.toy --set lr=5e-05"
    assert len(entry.about["requirements_sha256"]) == 64


def test_what_comes_later_is_added_and_changes_nothing_before(tmp_path: Path) -> None:
    """The same plan adds nothing; other seeds and other data do, with the number of results that were known."""
    path, its = lock_path(tmp_path, "toy"), options(tmp_path)
    declaring.declare(situation(plan(1, 2), {}), its)
    first = path.read_text()
    records = commit(tmp_path, plan(1, 2).trials)
    declaring.declare(situation(plan(1, 2), records), its)
    assert path.read_text() == first
    run = Run("r", "toy", "n", "FINISHED", {}, {}, {"key": plan(1).trials[0].key}, "")
    declaring.declare(situation(plan(3), {}, [run]), its)
    other = dataclasses.replace(
        situation(plan(1), {}), inputs=dict.fromkeys((t.key for t in plan(1).trials), Inputs("9", "e", "none"))
    )
    declaring.declare(other, its)
    assert path.read_text().startswith(first)
    entries = lockfile.read(path).declared
    assert [(len(e.trials), e.finished_before, e.already) for e in entries] == [(4, 0, 0), (2, 1, 0), (2, 0, 0)]


def test_results_that_are_declared_late_are_counted(tmp_path: Path) -> None:
    """A lock that begins after its trials have finished says so."""
    records = commit(tmp_path, plan(1).trials)
    declaring.declare(situation(plan(1, 2), records), options(tmp_path))
    (entry,) = lockfile.read(lock_path(tmp_path, "toy")).declared
    assert (entry.finished_before, entry.already) == (0, 2)


def test_scores_are_added_once(tmp_path: Path) -> None:
    """In every digit; not before there is a lock."""
    path, records = lock_path(tmp_path, "toy"), commit(tmp_path, plan(1, 2).trials)
    declaring.note_finished(situation(plan(1), records), options(tmp_path))
    assert not path.exists()
    declaring.declare(situation(plan(1, 2), {}), options(tmp_path))
    for sweep in (plan(1), plan(1, 2), plan(1, 2)):
        declaring.note_finished(situation(sweep, records), options(tmp_path))
    lock = lockfile.read(path)
    assert {key: its["test_accuracy"] for key, its in lock.scores.items()} == {
        t.key: score(t) for t in plan(1, 2).trials
    }
    assert path.read_text().count("[[finished]]") == 2
    assert set(lock.made_on.values()) == {"CPU; torch 2"}


def test_a_search_declares_nothing(tmp_path: Path) -> None:
    """Its rounds follow from its results; they are no plan."""
    declaring.declare(situation(plan(1), {}), options(tmp_path), "")
    assert not lock_path(tmp_path, "toy").exists()


def test_text_that_toml_must_quote_comes_back(tmp_path: Path) -> None:
    """Quotes, line ends, signs beyond ASCII, and numbers without an end."""
    odd = {"a": 'x "y" \\ \n\t \x7f ü 鲸', "b c.d": [1, 2.5, True], "e": {"f-1": 1e-30, "g": float("inf")}}
    lockfile.append(tmp_path / "toy.lock", lockfile.reported_entry(odd))
    (entry,) = lockfile.read(tmp_path / "toy.lock").reported
    assert {name: value for name, value in entry.items() if name != "date"} == odd


def test_entries_of_several_writers_are_all_kept(tmp_path: Path) -> None:
    """A report is noted while a driver notes its scores."""
    path = tmp_path / "locks" / "toy.lock"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: lockfile.append(path, lockfile.reported_entry({"n": n})), range(40)))
    assert sorted(entry["n"] for entry in lockfile.read(path).reported) == [*range(40)]
    assert [p.name for p in path.parent.iterdir() if p.suffix == ".part"] == []


@pytest.mark.parametrize("damage", ["", "[[declared]]\nwhy = 3\n", "[[finished]]\n", "\x00"])
def test_a_damaged_lock_is_refused_with_its_remedy(tmp_path: Path, damage: str) -> None:
    """Wherever it is cut or changed; nothing is written over it."""
    path = lock_path(tmp_path, "toy")
    declaring.declare(situation(plan(1), {}), options(tmp_path))
    text = path.read_text()
    path.write_text(text + damage if damage else text[:-200])
    with pytest.raises(BadLock, match=r"toy.lock: cannot be read .*; put back a copy, or move it away"):
        declaring.declare(situation(plan(2), {}), options(tmp_path))
    assert path.read_text() == (text + damage if damage else text[:-200])


def test_a_lock_follows_its_storage_to_a_store_and_back(tmp_path: Path) -> None:
    """The longer copy counts; a copy that is not its beginning gives way."""
    remote = Remote((tmp_path / "there").as_uri(), tmp_path / "here")
    its = options(tmp_path / "here", remote=remote.uri)
    declaring.declare(situation(plan(1), {}), its)
    there, here = (lock_path(tmp_path / side, "toy") for side in ("there", "here"))
    assert there.read_text() == here.read_text()
    lockfile.append(here, lockfile.reported_entry({"n": 1}))
    lockfile.fetch(remote, "toy")
    assert there.read_text() == here.read_text()
    here.write_text(here.read_text().replace("planned", "guessed"))
    lockfile.fetch(remote, "toy")
    assert "guessed" not in here.read_text()
    here.unlink()
    lockfile.fetch(remote, "toy")
    assert there.read_text() == here.read_text()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    """A storage with a lock whose four trials have finished."""
    declaring.declare(situation(plan(1, 2), {}), options(tmp_path))
    records = commit(tmp_path, plan(1, 2).trials)
    declaring.note_finished(situation(plan(1, 2), records), options(tmp_path))
    return tmp_path


def test_results_that_are_as_declared_are_verified(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also in a copy of the folder."""
    for storage in (whole, shutil.copytree(whole, whole / "copy")):
        assert main([str(lock_path(storage, "toy")), "--storage", str(storage)]) == 0
        assert f"{storage}: is as the lock" in capsys.readouterr().out


def test_everything_that_differs_is_told_in_words(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A trial that is gone, one on other data, one with another score, another requirements.txt."""
    gone, moved, *_ = plan(1, 2).trials
    path = lock_path(whole, "toy")
    shutil.rmtree(next(whole.glob(f"trials/{gone.key}-*")))
    shutil.rmtree(next(whole.glob(f"trials/{moved.key}-*")))
    commit(whole, [moved], Inputs("f" * 64, "e" * 64, "none"))
    text = path.read_text().replace("test_accuracy = 0.69,", "test_accuracy = 0.7,")
    path.write_text(text.replace('requirements_sha256 = "', 'requirements_sha256 = "0'))
    assert main([str(path), "--storage", str(whole)]) == 1
    said = capsys.readouterr().out
    assert "note     requirements.txt has changed" in said
    assert "cnn14-32k on 8 kHz: no result of seed 1 is there" in said
    assert "data dddddddddddd was declared, and ffffffffffff ran" in said
    assert "test_accuracy 0.7 there, 0.69 here" in said
    assert main([str(path), "--storage", str(whole), "--within", "1.1"]) == 1
    assert "test_accuracy" not in capsys.readouterr().out


def test_results_in_the_store_alone_count(whole: Path) -> None:
    """Of trials that finished in another storage, the store has hashes and scores."""
    lock, sweep = lockfile.read(lock_path(whole, "toy")), plan(1, 2)
    code = declaring.codes(sweep.trials)
    runs = [
        Run("r", "toy", "n", "FINISHED", {}, {name: score(trial) for name in trial.metrics}, tags, "")
        for trial in sweep.trials
        for tags in ({"key": trial.key, "code_sha256": code[trial.key].sha256, **INPUTS.tags},)
    ]
    shutil.rmtree(whole / "trials")
    assert len(verification.differences(lock, sweep, whole, [])) == 2
    assert verification.differences(lock, sweep, whole, runs) == []
    unfinished = [dataclasses.replace(run, status="KILLED") for run in runs]
    assert len(verification.differences(lock, sweep, whole, unfinished)) == 2


def test_fields_that_give_another_key_are_refused(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A lock that was edited, or is of another version; and a file that is no lock."""
    path = lock_path(whole, "toy")
    path.write_text(path.read_text().replace("batch = 32", "batch = 64"))
    assert main([str(path), "--storage", str(whole)]) == 2
    assert "is not what its fields give here; check out its commit" in capsys.readouterr().err
    assert main([str(whole / "none.lock"), "--storage", str(whole)]) == 2
    assert "declares nothing; name the lock of a sweep" in capsys.readouterr().err


def test_a_sweep_goes_on_with_the_seeds_that_the_store_has(capsys: pytest.CaptureFixture[str]) -> None:
    """Killed after any trial and started again, it runs each trial once and comes to the same end."""
    sweep, done, asked = plan(1, 2, 3), dict[str, Run](), list[str]()
    rule = rule_of(sweep, max_seeds=5)

    class Killed(Exception):
        pass

    def run_sweep(its: Sweep, kill_after: int) -> tuple[int, Situation]:
        for trial in its.trials:
            if trial.key in done:
                continue
            if len(done) == kill_after:
                raise Killed
            asked.append(trial.key)
            tags = {"key": trial.key, **INPUTS.tags}
            done[trial.key] = Run(trial.key, "toy", "n", "FINISHED", {}, {"test_accuracy": score(trial)}, tags, "")
        return 0, situation(its, {}, [*done.values()])

    for kill_after in (3, 5, 7):
        with pytest.raises(Killed):
            more_seeds.run(sweep, rule, lambda its, after=kill_after: run_sweep(its, after))  # type: ignore[misc]
    assert more_seeds.run(sweep, rule, lambda its: run_sweep(its, 99)) == 0
    assert len(asked) == len(set(asked)) == 8  # the fourth seed decides
    said = capsys.readouterr().out
    assert "look     3 seeds: 0 of 1 pair is decided; seed 4 is added for 2 settings" in said
    assert "data_hz=8000 against 16000: -22.5 points, decided after 4 seeds" in said


def test_seeds_on_other_data_are_no_look() -> None:
    """They are asked for again; a sweep that fails is not looked at."""
    sweep = plan(1, 2, 3)
    rule = rule_of(sweep, max_seeds=5)
    runs = [
        Run(t.key, "toy", "n", "FINISHED", {}, {"test_accuracy": score(t)}, {"key": t.key, **its.tags}, "")
        for t, its in [*((t, INPUTS) for t in sweep.trials), *((t, Inputs("9", "e", "none")) for t in plan(4).trials)]
    ]
    assert len(more_seeds.scores_in(situation(sweep, {}, runs), rule)) == 6
    assert more_seeds.run(sweep, rule, lambda its: (4, situation(its, {}, runs))) == 4
