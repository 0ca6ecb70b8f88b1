"""The runs of a sweep as one table, one row per planned trial; refuses runs that must not share a table."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analysis.engine.mixed import HASHES, mixed
from datasets.engine.splitting.groups import FILE, OF_GROUP, SAMPLED_BY, SEEN, is_unknown
from sweeps.engine.plan import Sweep, differing
from sweeps.engine.store.runs import Run, fitted
from sweeps.engine.store.store import artifact_path
from trainable.config import FIELDS, TrialConfig
from trainable.learning.part import NONE, Value, several
from trainable.learning.settings import by_default

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Shaped

FINISHED = "FINISHED"
PREDICTED = ("logits", "labels", "recording", "clip", "classes")  # the arrays that every run has stored
LONGEST_SETTING = 200  # characters that are said of one
# All that a file cut anywhere, or with bits flipped, makes numpy and zipfile raise.
UNREADABLE = (
    OSError,
    ValueError,
    LookupError,
    EOFError,
    RuntimeError,  # and NotImplementedError: bits that say encrypted, or compressed in another way
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
LATER_METRICS = ("num_parameters",)  # of the network that was trained; runs of earlier versions have none
TAGS = (
    "sweep",
    "data_sha256",
    "split_sha256",
    "weights_sha256",
    "corpus_recordings",
    "corpus_clips",
    "corpus_notes",
    "git_commit",
    "git_dirty",
    "code_sha256",
    "versions",
    "device",
    "hostname",
    "majority_class",
    "micro_batches",
    "num_devices",
)


@dataclass(frozen=True)
class Predictions:
    """A trial's predictions for every test clip, and the groups of the clips, which runs of earlier versions lack."""

    logits: Float[np.ndarray, "clips classes"]
    labels: Int[np.ndarray, " clips"]
    recording: Shaped[np.ndarray, " clips"]
    clip: Int[np.ndarray, " clips"]  # its index in the recording
    classes: tuple[str, ...]
    groups: Mapping[str, Shaped[np.ndarray, " clips"]] = field(default_factory=dict)  # values, such as vessels
    seen: Mapping[str, Bool[np.ndarray, " clips"]] = field(default_factory=dict)  # whether training has the value
    sampled_by: str = ""  # the coarsest group that recordings were sampled by
    file: Shaped[np.ndarray, " clips"] | None = None  # where recordings are excerpts, the whole file

    @property
    def cluster_unit(self) -> str:
        """The unit of `clusters`: the group that recordings were sampled by, or "recording" where none is known."""
        values = self.groups.get(self.sampled_by, ())
        return self.sampled_by if not all(map(is_unknown, values)) else "recording"

    @property
    def clusters(self) -> Shaped[np.ndarray, " clips"]:
        """The unit of inference for each clip: the value of the coarsest known group, else the file or recording.

        A clip whose value is not known has its file or recording, so that it shares a cluster with no other.
        """
        whole = self.recording if self.file is None else self.file
        values = self.groups.get(self.sampled_by)
        if values is None:
            return whole
        unknown = np.array([is_unknown(value) for value in values])
        return np.where(unknown, np.char.add("recording ", whole), values)


def table_rows(sweep: Sweep, runs: Iterable[Run], data: str = "", accept: Collection[str] = ()) -> pd.DataFrame:
    """One row per planned trial, in the order of the plan.

    Args:
        sweep: what was planned.
        runs: what the store holds; runs of other trials are passed over.
        data: first digits of the data or split hash that the runs must have; empty for any.
        accept: which of `analysis.engine.mixed.MADE_BY` may differ between the trials.

    Returns:
        Columns: the fields of `TrialConfig` and the settings of all parts, "none" where a trial's parts have no such
        setting; config, the trial itself; key; status (finished, running, failed, killed or missing); run_id and
        artifact_uri; the metrics and the tags, empty where the trial is not finished or its run has no such metric.

    Raises:
        ValueError: if a trial has finished twice, a metric is not finite, or trials that share a corpus, split or
            checkpoint do not agree on its hash, or all of them on what they were made by; names every key, run and
            hash, with the remedy.
    """
    by_key: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        if _has_hash(run, data):
            by_key[run.tags.get("key", "")].append(run)
    finished = {trial: [r for r in by_key[trial.key] if r.status == FINISHED] for trial in sweep.trials}
    problems = [*mixed(finished, accept), *_repeated(finished), *_not_finite(finished)]
    if problems:
        raise ValueError("these runs make no table:\n" + "\n".join(f"- {problem}" for problem in problems))
    names = list(dict.fromkeys(name for trial in sweep.trials for name in trial.whole()))
    return pd.DataFrame([_row(trial, names, by_key[trial.key]) for trial in sweep.trials])


def finished_runs(sweep: Sweep, runs: Iterable[Run], data: str = "") -> dict[str, Run]:
    """The finished run of each planned key; `table_rows` refuses where there are two."""
    keys = {trial.key for trial in sweep.trials}
    return {r.key: r for r in runs if r.status == FINISHED and r.tags.get("key") in keys and _has_hash(r, data)}


def read_predictions(run: Run) -> Predictions:
    """The stored test predictions of a finished run.

    Raises:
        StoreError: if they are gone.
        ValueError: if they are damaged, or are not those that the run's main score was taken from.
    """
    path = artifact_path(run, "predictions.npz")
    remedy = (
        f"copy it again from --storage/trials/{run.key}-*, or delete run {run.run_id} from the store and run the "
        "sweep again"
    )
    try:
        predictions = _load(path)
    except UNREADABLE as error:
        raise ValueError(f"run {run.run_id} ({run.key}): cannot read {path} ({error}); {remedy}") from error
    named = run.params.get("scores", FIELDS["scores"].default)
    score: Any = next(iter(several("scores", FIELDS["scores"].metadata["folder"], named)))  # the main one
    given = score.of(predictions.logits, predictions.labels, predictions.recording)
    stated = run.metrics[f"test_{score.name}"]
    if abs(given - stated) > 0.5 / len(predictions.labels):  # less than a clip apart is float32 rounding
        article = "an" if score.title[0] in "aeiou" else "a"
        raise ValueError(
            f"run {run.run_id} ({run.key}): {path} gives {article} {score.title} of {given:.6f}, "
            f"the run states {stated:.6f}; {remedy}"
        )
    return predictions


def held(sweep: Sweep, runs: Sequence[Run]) -> str:
    """A sentence on how the store's runs differ from the plan, in the words of the command line."""
    base = sweep.trials[0].whole()
    axes = differing(sweep.trials)
    near = [r for r in runs if r.tags.get("sweep") == sweep.name] or list(runs)
    if not near:
        return "the store holds no run at all"
    settings: Counter[str] = Counter()
    for run in near:
        differs = [_setting(name, run, base) for name in base if _differs(run, name, base) and name not in axes]
        settings[" ".join(differs) or "the plan's settings, at other values of " + ", ".join(axes)] += 1
    lines = [f"  {count} run{'s' * (count > 1)} with {words}" for words, count in settings.most_common(6)]
    return "the store holds\n" + "\n".join(lines)


def _text(run: Run, name: str, base: dict[str, Value]) -> str | None:
    """The value of a field or setting in a run; None if it is unknown, or if the part differs from that of `base`."""
    slot = name.partition(".")[0]
    if name in run.params or run.params.get(slot) != base[slot]:
        return run.params.get(name)
    default = by_default({slot: base[slot]}).get(name)
    return None if default is None else str(default)


def _setting(name: str, run: Run, base: dict[str, Value]) -> str:
    """A setting as the command line takes it; a long one is cut, because the store may hold no more."""
    text = _text(run, name, base) or ""
    whole = len(text) <= LONGEST_SETTING
    return f"--set {name}={text}" if whole else f"--set {name}={text[:LONGEST_SETTING]}... (whole in config.json)"


def _load(path: Path) -> Predictions:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        logits, labels, recording, clip = (archive[name] for name in ("logits", "labels", "recording", "clip"))
        names = tuple(map(str, archive["classes"]))
        about = {name: archive[name] for name in archive.files if name not in PREDICTED}
    clips, classes = logits.shape
    if not clips or {len(labels), len(recording), len(clip)} != {clips} or classes != len(names):
        raise ValueError("its arrays do not fit together")
    if not np.isfinite(logits).all():
        raise ValueError("it has logits that are not finite")
    groups, seen = (
        {name.removeprefix(kind): its for name, its in about.items() if name.startswith(kind)}
        for kind in (OF_GROUP, SEEN)
    )
    if groups.keys() != seen.keys() or any(its.shape != (clips,) for its in (*groups.values(), *seen.values())):
        raise ValueError("its groups do not fit its clips")
    return Predictions(
        logits, labels, recording, clip, names, groups, seen, str(about.get(SAMPLED_BY, "")), about.get(FILE)
    )


def metrics_of(trial: TrialConfig) -> tuple[str, ...]:
    """The metrics that a finished run of a trial has."""
    return (*trial.metrics, "epochs_run")


def _row(trial: TrialConfig, names: Iterable[str], runs: list[Run]) -> dict[str, object]:
    order = (FINISHED, "RUNNING", "FAILED", "KILLED")
    best = min(runs, key=lambda r: order.index(r.status) if r.status in order else len(order), default=None)
    row: dict[str, object] = {
        **dict.fromkeys(names, NONE),
        **trial.whole(),
        "config": trial,
        "key": trial.key,
        "status": best.status.lower() if best else "missing",
    }
    done = best if best and best.status == FINISHED else None
    row["run_id"] = best.run_id if best else ""
    row["artifact_uri"] = done.artifact_uri if done else ""
    row |= {name: done.metrics[name] if done else math.nan for name in metrics_of(trial)}
    row |= {name: done.metrics.get(name, math.nan) if done else math.nan for name in LATER_METRICS}
    return row | {name: done.tags.get(name, "") if done else "" for name in TAGS}


def _has_hash(run: Run, data: str) -> bool:
    """Whether a run's hash begins with `data`; a run that failed before it had any passes, and is shown as failed."""
    hashes = [run.tags[name] for name in ("data_sha256", "split_sha256") if name in run.tags]
    return not hashes or any(sha.startswith(data) for sha in hashes)


def _differs(run: Run, name: str, base: dict[str, Value]) -> bool:
    text = _text(run, name, base)
    if text is None:
        return False
    value = base[name]
    if isinstance(value, str):
        return text != fitted(value)
    try:
        return type(value)(text) != value
    except ValueError:
        return True


def _repeated(finished: dict[TrialConfig, list[Run]]) -> Iterable[str]:
    for trial, runs in finished.items():
        same: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for run in runs:
            same[tuple(run.tags.get(name, "") for name in HASHES)].append(run.run_id)
        for ids in same.values():
            if len(ids) > 1:
                yield f"trial {trial.key} has finished in {len(ids)} runs, {', '.join(ids)}; delete all but one of them"


def _not_finite(finished: dict[TrialConfig, list[Run]]) -> Iterable[str]:
    for trial, runs in finished.items():
        for run in runs:
            bad = [
                f"{name}={run.metrics.get(name)}"
                for name in metrics_of(trial)
                if not math.isfinite(run.metrics.get(name, math.nan))
            ]
            if bad:
                yield (
                    f"trial {trial.key}, run {run.run_id}: {', '.join(bad)}; "
                    "delete the run from the store and run the sweep again"
                )
