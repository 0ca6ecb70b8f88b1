"""Reasons why a planned trial will run or not: how it differs from the trials in the store and the storage."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from datasets.engine import manifest, splits
from datasets.engine.corpus import CorpusError
from datasets.engine.prepare import Prepared
from sweeps.engine.modules import Code, codes, differing, modules_of, named
from sweeps.engine.plan import trial_name
from sweeps.engine.situation import Situation, folder_name, wanted_by
from sweeps.engine.store.runs import fitted
from trainable.config import FIELDS, TrialConfig
from trainable.result import record
from trainable.result.record import DamagedRecord

MAX_NAMED = 5
INPUTS = {"data_sha256": "data", "split_sha256": "split", "weights_sha256": "weights"}
DEFAULTS = {name: str(f.default) for name, f in FIELDS.items() if f.default is not dataclasses.MISSING}


@dataclass(frozen=True)
class Past:
    """A trial that was begun at some time: a run of the store, or a record of the storage."""

    key: str
    config: Mapping[str, str]
    tags: Mapping[str, str]
    status: str  # FINISHED, FAILED, KILLED or RUNNING
    where: str

    @property
    def name(self) -> str:
        """The name that users know."""
        fields = {**DEFAULTS, **self.config}
        with suppress(KeyError, ValueError, TypeError):  # from an older version, or cut off before it was written
            return trial_name(TrialConfig.of({n: text for n, text in fields.items() if n.partition(".")[0] in FIELDS}))
        return f"the trial with key {self.key}"


def explain(situation: Situation, key: str, storage: Path) -> int:
    """Prints why each trial that --why names, by the first digits of its key or with `all`, will run or not.

    Returns:
        The exit code: 0, or 2 if no planned trial has such a key.
    """
    chosen = [t for t in situation.sweep.trials if key == "all" or t.key.startswith(key)]
    if not chosen:
        print(f"--why {key}: no planned trial has this key; --why all lists them")
        return 2
    past = list(everything(situation, storage))
    code = codes(chosen)
    for trial in chosen:
        first, *others = reasons(trial, situation, past, storage, code[trial.key])
        print(f"{trial.key}  {situation.sweep.title(trial)}: {first}")
        for line in others if key != "all" else []:
            print(f"              {line}")
    return 0


def everything(situation: Situation, storage: Path) -> Iterator[Past]:
    """Yields all trials of the storage and the store, the newest last."""
    for path in sorted((storage / "trials").glob(f"*/{record.FILE}")):
        with suppress(DamagedRecord):
            if committed := record.read(path.parent):
                config = {name: fitted(str(value)) for name, value in committed.config.items()}
                yield Past(committed.key, config, committed.tags, "FINISHED", str(path.parent))
    for run in situation.runs:
        yield Past(run.key, run.params, run.tags, run.status, f"run {run.run_id}")


def reasons(trial: TrialConfig, situation: Situation, past: Iterable[Past], storage: Path, code: Code) -> list[str]:
    """The verdict on whether a trial will run, followed by the grounds."""
    key, past = trial.key, list(past)
    mine = [p for p in past if p.key == key]
    if key in situation.done:
        same = [p for p in mine if p.status == "FINISHED" and _same_inputs(p, situation, key)]
        return [f"will not run, it is finished ({same[-1].where if same else 'committed'})", *_code(same, code)]
    if reason := situation.refused.get(key):
        return [f"cannot start: {reason}"]
    if key not in situation.inputs:
        return ["whether it will run is unknown: its corpus has not been read yet (--data-root)"]
    same = [p for p in mine if _same_inputs(p, situation, key)]
    if unfinished := [p for p in same if p.status != "FINISHED"]:
        folder = storage / "trials" / folder_name(trial, situation.inputs[key])
        failure = unfinished[-1].tags.get("failure", "").strip().splitlines()[-1:]
        return [f"will run: {_ended(unfinished[-1])}", *failure, *_resumes(folder), *_code(unfinished[-1:], code)]
    if same or any((storage / "trials").glob(f"{folder_name(trial, situation.inputs[key])}/forgotten-*.json")):
        return ["will run: it was finished, and its run was deleted from the store"]
    if mine:
        last = next((p for p in reversed(mine) if p.status == "FINISHED"), mine[-1])
        kinds = ", ".join(kind for name, kind in INPUTS.items() if _input_differs(last, situation, key, name))
        how = f"it was finished on other {kinds}" if last.status == "FINISHED" else _ended(last, f" on other {kinds}")
        changed = _changed_inputs(last, trial, situation, storage)
        return [f"will run: {how}", *changed, *_code([last], code)]
    return _nearest(trial, past, code)


def _ended(past: Past, on: str = "") -> str:
    """A sentence on an attempt that did not finish."""
    if past.status == "RUNNING":
        return f"an attempt at it{on} is RUNNING elsewhere, or its driver has died"
    return f"an attempt at it{on} ended as {past.status}"


def _nearest(trial: TrialConfig, past: list[Past], code: Code) -> list[str]:
    """The reasons for a trial that never ran: the trial that did and differs from it in the fewest fields."""
    if not past:
        return ["will run: it never ran, and the store has nothing else"]
    config = {name: fitted(str(value)) for name, value in trial.to_dict().items()}  # as in the store
    differences = [
        {n: (old, new) for n, new in config.items() if (old := p.config.get(n, DEFAULTS.get(n, "?"))) != new}
        for p in past
    ]
    nearest = min(reversed(range(len(past))), key=lambda n: len(differences[n]))
    changes = [f"{name}: {old} -> {new}" for name, (old, new) in differences[nearest].items()]
    near = past[nearest]
    return [
        f"will run: it never ran; the nearest that did is {near.name} (key {near.key}, {near.status})",
        *changes,
        *_code([near], code),
    ]


def _same_inputs(past: Past, situation: Situation, key: str) -> bool:
    return not any(_input_differs(past, situation, key, name) for name in INPUTS)


def _input_differs(past: Past, situation: Situation, key: str, name: str) -> bool:
    return key in situation.inputs and past.tags.get(name) != situation.inputs[key].tags[name]


def _changed_inputs(past: Past, trial: TrialConfig, situation: Situation, storage: Path) -> Iterator[str]:
    """Yields each input that has changed, with the details that the storage still has."""
    current, prepared = situation.inputs[trial.key].tags, situation.data[wanted_by(trial)]
    for name, kind in INPUTS.items():
        old = past.tags.get(name, "unknown")
        if old != current[name]:
            yield f"{kind}: sha256 {old[:12]} -> {current[name][:12]}"
            with suppress(CorpusError):  # the old one is not here
                if kind == "data":
                    yield from _changed_files(storage / "scans" / f"{old[:16]}.json", prepared)
                elif kind == "split":
                    yield from _changed_roles(storage / "splits" / f"{old[:16]}.csv", prepared)


def _changed_files(old: Path, prepared: Prepared) -> Iterator[str]:
    scan = manifest.read(old)
    before = {r.id: (r.label, scan.facts[r.id].sha256) for r in scan.corpus.recordings}
    after = {r.id: (r.label, prepared.scan.facts[r.id].sha256) for r in prepared.scan.corpus.recordings}
    yield from _listed("new recordings", after.keys() - before.keys())
    yield from _listed("recordings that are gone", before.keys() - after.keys())
    yield from _listed("changed recordings", {i for i in before.keys() & after.keys() if before[i] != after[i]})


def _changed_roles(old: Path, prepared: Prepared) -> Iterator[str]:
    before, after = splits.read(old).roles, prepared.split.roles
    moved = {f"{i} ({before[i]} -> {after[i]})" for i in before.keys() & after.keys() if before[i] != after[i]}
    yield from _listed("recordings in another role", moved)


def _listed(kind: str, names: Iterable[str]) -> Iterator[str]:
    if names := sorted(names):
        yield f"  {len(names)} {kind}: {', '.join(names[:MAX_NAMED])}{', ...' * (len(names) > MAX_NAMED)}"


def _resumes(folder: Path) -> Iterator[str]:
    if done := [int(path.stem[-4:]) for path in folder.glob("epoch-*.pt")]:
        yield f"it resumes after epoch {max(done)}"


def _code(past: list[Past], code: Code) -> Iterator[str]:
    """Yields a difference in code, which users might take for a reason, though it is none."""
    if past and (old := past[-1].tags.get("code_sha256", code.sha256)) != code.sha256:
        files = differing(modules_of(past[-1].tags), code.modules)
        if files != []:  # another backbone uses other files, which does not count as other code
            yield (
                f"code: sha256 {old[:12]} -> {code.sha256[:12]}{named(files)}; a change of code alone never makes a "
                "finished trial run again"
            )
