"""Drives the trials to run: starts them on Ray, and writes their events to the store. Only one process writes."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from datasets.engine.remote import RemoteError
from sweeps.engine import estimate
from sweeps.engine.code import COMMIT_TAGS
from sweeps.engine.command.exits import INCOMPLETE
from sweeps.engine.display.progress import TrialProgress
from sweeps.engine.estimate import Spent
from sweeps.engine.forecast import placement
from sweeps.engine.forecast.budget import Budget, Times
from sweeps.engine.plan import run_name
from sweeps.engine.running import cluster, node, tuner
from sweeps.engine.running.near import NearData
from sweeps.engine.situation import Situation
from sweeps.engine.store import artefacts, pages, remote, summary
from sweeps.engine.store.mirror import PATIENCE_S, Mirror
from sweeps.engine.store.runs import Refused, StoreError, read_runs
from sweeps.engine.store.store import Store
from trainable.result import record
from trainable.result.record import DamagedRecord, Record
from trainable.weights import checkpoint

if TYPE_CHECKING:
    from sweeps.engine.running.rounds import Display
    from trainable.config import TrialConfig
    from trainable.device.place import Place


COMMIT_S = 600.0  # the wait for the last results to arrive here, when the sweep has ended by itself
SPARE_BYTES = 200_000_000  # free space required besides what a trial needs


def drive(
    situation: Situation,
    places: Mapping[str, Place],
    store: Store,
    storage: Path,
    asked: placement.Asked,
    budget: Budget | None = None,
    ready: Callable[[], None] = lambda: None,
    display: Display | None = None,
) -> Recorder:
    """Runs every trial of the situation that is not done and that fits into the budget.

    Args:
        situation: the plan, with the state of its trials.
        places: the place of each trial to run, by key.
        store: the store that shows the trials.
        storage: the folder of the results.
        asked: the user's requests for the nodes.
        budget: the remaining budget; None for no limit.
        ready: called when a worker has loaded what its trial needs; the trial begins when it returns.
        display: the display of a search's round.

    Returns:
        The recorder, which knows why each failed trial failed, and why others were not started.

    Raises:
        KeyboardInterrupt: when interrupted; the store is in order by then.
    """
    trials = situation.to_run
    # If trials run on this machine alone, all clips are made before the first trial starts.
    near = NearData(trials, {} if cluster.is_own() else {key: place.clips for key, place in places.items()})
    recorder = Recorder(situation, places, store, near, display)
    try:
        needs = estimate.needs(situation, trials)
        affordable = budget.affordable(near, recorder.times, recorder.stop) if budget else near
        jobs = while_it_makes_sense(affordable, places, needs, storage, recorder)
        tuner.run(jobs, list(needs.values()), recorder, storage, situation.sweep.name, asked, recorder.lost, ready)
    finally:
        recorder.close()
    return recorder


def while_it_makes_sense(
    trials: Iterable[TrialConfig],
    places: Mapping[str, Place],
    needs: Mapping[str, placement.Needs],
    storage: Path,
    recorder: Recorder,
) -> Iterator[tuner.Job]:
    """Yields the jobs in order, until the disk is too full for the next, or the first ones have all failed alike."""
    for trial in trials:
        if recorder.stopped:
            return
        # Two checkpoints with their optimiser's state and two kept weights: eight times the network.
        needed = round(8 * 4 * (trial.card.num_parameters or 0) * trial.width**2) + SPARE_BYTES
        if (free := shutil.disk_usage(storage).free) < needed:
            recorder.stop(
                f"no further trial was started: {storage} has {free / 1e9:.2f} GB free, and the next trial needs "
                f"{needed / 1e9:.2f}; make room and start again"
            )
            return
        yield tuner.Job(trial, places[trial.key], needs[trial.key])


class Recorder:
    """Listens to the trials: updates the terminal and the trials' folders, and tells the store."""

    def __init__(
        self,
        situation: Situation,
        places: Mapping[str, Place],
        store: Store,
        near: NearData,
        display: Display | None = None,
    ) -> None:
        self.failures: dict[str, str] = {}
        self.stopped = ""  # why no further trial was started; empty if nothing stopped them
        self._situation, self._places, self._store, self._near = situation, places, store, near
        self._display = display  # the display of a search's round
        self._trials: dict[str, TrialConfig] = {t.key: t for t in situation.to_run}
        self._earlier = situation.unfinished
        self._begun: dict[str, int] = {}  # key -> epochs completed by an earlier attempt
        self._runs: dict[str, str] = {}  # key -> run id, and "" -> the sweep's; only the mirror's thread touches it
        self._waiting: dict[str, list[dict[str, float]]] = defaultdict(list)  # epochs missing from the store, by key
        self._progress = TrialProgress(situation.to_run, situation.predictions)
        self._began = time.monotonic()
        self._wall_s = 0.0
        self._mirror = Mirror(self._progress.note)
        self._artefact_lost = artefacts.once(self._progress.note)
        self._mirror.tell(self._open_sweep)
        away = any(place.remote for place in places.values())
        self._commits = Mirror(self._progress.note) if away else None

    def started(self, key: str) -> None:
        """Opens the trial's run; when a lost trial starts again, its run continues."""
        if key in self._begun:
            return
        done = [int(path.stem[-4:]) for path in self._places[key].folder.glob("epoch-*.pt")]
        resumed = self._begun[key] = max(done, default=self._places[key].epochs)
        self._mirror.tell(lambda: self._begin(key, resumed > 0))
        self._progress.started(key)
        if self._display:
            self._display.started(key)

    def epoch(self, key: str, row: dict[str, float]) -> None:
        """Adds a point to the run's curves."""
        self._waiting[key].append(row)
        self._mirror.tell(lambda: self._log(key))
        self._progress.epoch(key, row, new=row["epoch"] > self._begun[key])
        if self._display:
            self._display.epoch(key, row)

    def finished(self, key: str, node: str) -> None:
        """Shows a committed result; a result in an object store is committed first."""
        self._near.finished(key, node)
        if self._commits:
            self._commits.tell(partial(self._take, key))  # in a thread: Tune's loop must not wait for a download
        else:
            self._show(key, self._places[key].folder)

    def _take(self, key: str) -> None:
        place = self._places[key]
        try:
            folder = remote.take(node.storage(place), place.folder.name)
        except RemoteError as error:
            raise StoreError(str(error)) from error  # the mirror tries again
        except DamagedRecord as error:
            self.failed(key, str(error))
        else:
            self._show(key, folder)

    def _show(self, key: str, folder: Path) -> None:
        """Makes the store show a committed result, and removes the files that the trial needed to resume."""
        committed = record.read(folder)
        if committed is None:
            self.failed(key, f"{folder} has no record, although the trial says that it has finished")
            return
        checkpoint.tidy(folder, keep=set())  # first, so that a FINISHED run needs nothing more
        self._mirror.tell(lambda: self._finish(key, folder, committed))
        del self._begun[key]
        self._progress.finished(key, committed.scores)
        if self._display:
            self._display.finished(committed)

    def failed(self, key: str, reason: str) -> None:
        """Ends the run as failed, with its traceback."""
        self.started(key)
        self.failures[key] = reason
        self._mirror.tell(lambda: self._store.end(self._runs[key], "FAILED", reason))
        del self._begun[key]
        self._progress.failed(key, reason)

    def note(self, line: str) -> None:
        """Prints a worker's message."""
        self._progress.note(line)

    def stop(self, reason: str) -> None:
        """Says once why no further trial is started; an empty reason is ignored."""
        if reason and not self.stopped:
            self.stopped = reason
            self._progress.note(reason)

    def lost(self, reason: str) -> None:
        """Cleans up after Ray has died, and ends this process, because its other threads may be waiting for Ray."""
        self.stop(f"{reason}; what trials have trained is kept, start again")
        self.close()
        cluster.abandon()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INCOMPLETE)

    def times(self) -> Times:
        """The working times of this start's trials so far."""
        return self._progress.times()

    @property
    def spent(self) -> Spent:
        """The times of the finished trials, once the recorder is closed."""
        return Spent(self._wall_s, dict(self._progress.finished_s))

    def close(self) -> None:
        """Ends the runs that were cut off, and the sweep's own run."""
        self._wall_s = time.monotonic() - self._began
        self._progress.waiting("writing the last results")
        patience_s = PATIENCE_S if sys.exception() or self.stopped else COMMIT_S
        if self._commits and not self._commits.close(patience_s):
            self._progress.note("some results are in the storage, but not committed yet; the next start commits them")
        cut_off = [*self._begun] or sys.exception() is not None or self.stopped
        for key in [*self._begun]:
            self._mirror.tell(partial(self._cut_off, key))
        self._mirror.tell(self._summarise)
        status = "KILLED" if cut_off else "FAILED" if self.failures else "FINISHED"
        self._mirror.tell(lambda: self._store.end(self._runs[""], status))
        if not self._mirror.close():
            self._progress.note("the store is behind; the next start writes everything that is committed")
        self._progress.close()
        if self._display:
            self._display.close()

    def _open_sweep(self) -> None:
        sweep = self._situation
        self._runs[""] = self._store.open_sweep(sweep.sweep.name, sweep.variant, self._sweep_tags())
        self._store.introduce(self._runs[""], sweep.sweep.settings or {}, pages.experiment_tags(sweep.sweep))
        self._summarise()
        for split in {place.split for place in self._places.values()}:
            self._store.attach(self._runs[""], split)

    def _summarise(self) -> None:
        sweep, parent = self._situation.sweep, self._runs[""]
        runs = summary.by_key(sweep, parent, read_runs(self._store.uri))
        self._store.summarise(parent, summary.numbers(sweep, runs), (summary.TABLE, summary.table(sweep, runs)))

    def _begin(self, key: str, resumes: bool) -> None:
        trial, tags = self._trials[key], {"key": key, "role": "trial", **self._places[key].tags}
        if prediction := self._situation.predictions.get(key):
            tags["predicted_s"] = f"{prediction.seconds.mid:.1f}"  # to compare with the duration that the store shows
        earlier = self._earlier.get(key)
        if earlier and earlier.tags.get("storage") != tags["storage"]:  # its checkpoints are not here
            earlier = None
        title = run_name(trial, tags.get("cell", ""))
        self._runs[key] = self._store.begin(self._runs[""], title, trial.to_dict(), tags, earlier, resumes)

    def _log(self, key: str) -> None:
        if rows := self._waiting[key][:]:  # including later ones, because they pile up behind a slow store
            try:
                self._store.log_epoch(self._runs[key], *rows)
            except Refused:
                del self._waiting[key][
                    : len(rows)
                ]  # the run is gone, and would refuse them again with every later epoch
                raise
            del self._waiting[key][: len(rows)]  # only now, because a failed write is tried again

    def _cut_off(self, key: str) -> None:
        self._store.end(self._runs[key], "KILLED", "the sweep was stopped")

    def _finish(self, key: str, folder: Path, committed: Record) -> None:
        files = artefacts.write(folder, self._trials[key], self._artefact_lost)
        tags = {**committed.provenance, "node_id": committed.tags.get("node_id", ""), "record": committed.sha256}
        self._store.finish(self._runs[key], committed.scores, tags, files, self._artefact_lost)

    def _sweep_tags(self) -> dict[str, str]:
        tags = next(iter(self._places.values())).tags
        return {**{name: tags[name] for name in (*COMMIT_TAGS, "storage")}, **self._situation.sweep_tags}
