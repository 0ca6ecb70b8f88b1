"""Drives the trials that are to run: starts them on Ray, and writes what they say to the store. One process writes."""

from __future__ import annotations

import subprocess
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps import artefacts, tuner
from sweeps.plan import run_name
from sweeps.progress import TrialProgress
from sweeps.runs import StoreError
from sweeps.state import Situation, folder_name, wanted_by
from sweeps.store import Store
from trainable import checkpoint

if TYPE_CHECKING:
    from trainable.config import TrialConfig
    from trainable.place import Place

ROOT = Path(__file__).resolve().parents[1]


def drive(
    situation: Situation,
    places: Mapping[str, Place],
    store: Store,
    storage: Path,
    max_concurrent: int | None,
) -> dict[str, str]:
    """Runs every trial of the situation that is not done.

    Returns:
        Why each failed trial failed, by key.

    Raises:
        KeyboardInterrupt: when interrupted; the store is in order by then.
    """
    trials = situation.to_run
    for trial in situation.sweep.trials:
        if trial.key in situation.done:  # a kill after its commit left what it needed to resume
            checkpoint.tidy(storage / "trials" / folder_name(trial, situation.inputs[trial.key]), keep=set())
    recorder = Recorder(situation, places, store)
    try:
        jobs = [tuner.Job(trial, places[trial.key]) for trial in trials]
        tuner.run(jobs, recorder, storage, situation.sweep.name, max_concurrent)
    finally:
        recorder.close()
    return recorder.failures


class Recorder:
    """Listens to the trials: keeps the store, the terminal and the trials' folders in step."""

    def __init__(self, situation: Situation, places: Mapping[str, Place], store: Store) -> None:
        self.failures: dict[str, str] = {}
        self._situation, self._places, self._store = situation, places, store
        self._trials: dict[str, TrialConfig] = {t.key: t for t in situation.to_run}
        self._earlier = situation.unfinished
        self._open: dict[str, str] = {}  # key -> run id
        self._common = {"sweep": situation.sweep.name, **code_state()}
        for run in self._earlier.values():
            if run.status == "RUNNING":  # its driver is dead: this one holds the lock
                store.end(run.run_id, "KILLED", "its driver was lost")
        self._parent = store.open_sweep(situation.sweep.name, situation.variant, self._sweep_tags())
        for split in {place.split for place in places.values()}:
            store.attach(self._parent, split)
        self._progress = TrialProgress(situation.to_run)

    def started(self, key: str) -> None:
        """Opens the trial's run."""
        trial, inputs = self._trials[key], self._situation.inputs[key]
        tags = {"key": key, "role": "trial", **self._common, **inputs.tags, **self._corpus(trial)}
        earlier = self._earlier.get(key)
        self._open[key] = self._store.begin(self._parent, run_name(trial), trial.to_dict(), tags, earlier)
        self._progress.started(key)

    def epoch(self, key: str, row: dict[str, float]) -> None:
        """Adds a point to the run's curves."""
        new = self._store.log_epoch(self._open[key], row)
        self._progress.epoch(key, row, new)

    def finished(self, key: str, scores: dict[str, float], provenance: dict[str, str]) -> None:
        """Commits the run; only then may go what the trial needed to resume."""
        folder = self._places[key].folder
        try:
            kept = artefacts.write(folder, self._trials[key])
        except Exception:  # a full disk, a picture that cannot be drawn: this trial's affair, and no other's
            self.failed(key, traceback.format_exc())
            return
        self._store.finish(self._open[key], scores, provenance, kept)
        del self._open[key]
        checkpoint.tidy(folder, keep=set())
        self._progress.finished(key, scores)

    def failed(self, key: str, reason: str) -> None:
        """Ends the run as failed, with its traceback."""
        if key not in self._open:
            self.started(key)
        self.failures[key] = reason
        self._store.end(self._open.pop(key), "FAILED", reason)
        self._progress.failed(key, reason)

    def close(self) -> None:
        """Ends what was cut off, and the sweep's own run."""
        self._progress.close()
        cut_off = bool(self._open) or sys.exception() is not None
        with suppress(StoreError):  # when the store itself is why we stop, the next start ends what is left open
            for run_id in self._open.values():
                self._store.end(run_id, "KILLED", "the sweep was stopped")
            self._store.end(self._parent, "KILLED" if cut_off else "FAILED" if self.failures else "FINISHED")

    def _corpus(self, trial: TrialConfig) -> dict[str, str]:
        data = self._situation.data[wanted_by(trial)]
        recordings, clips = zip(*data.counts.values(), strict=True)
        return {
            "corpus_recordings": "/".join(map(str, recordings)),
            "corpus_clips": "/".join(map(str, clips)),
            "corpus_notes": "; ".join(data.notes)[:5000],  # as much as a tag holds
        }

    def _sweep_tags(self) -> dict[str, str]:
        data = list(self._situation.data.values())
        notes = [note for prepared in data for note in prepared.notes]
        return {
            **self._common,
            "data_sha256": " ".join(d.scan.sha256 for d in data),
            "mlflow.note.content": "\n\n".join(notes),
        }


def code_state() -> dict[str, str]:
    """The commit that runs, and whether files differ from it; "unknown" outside a repository."""

    def git(*words: str) -> str:
        answer = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True)  # noqa: S603, S607
        return answer.stdout.strip()

    try:
        return {"git_commit": git("rev-parse", "HEAD"), "git_dirty": str(bool(git("status", "--porcelain"))).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {"git_commit": "unknown", "git_dirty": "unknown"}
