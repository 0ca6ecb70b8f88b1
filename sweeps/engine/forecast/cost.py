"""Predictions of how long trials will take: pure arithmetic on measurements, or on counted operations."""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sweeps.engine.forecast import placement
from sweeps.engine.forecast.placement import Asked, Needs, Nodes
from sweeps.engine.plan import work
from trainable.config import TrialConfig
from trainable.cost.cost import BACKWARD, Measured, cell_of, epoch_flops, forward_flops, num_samples

OVERHEAD_S = 0.3  # of a trial in a warm worker, besides its own work (sweeps/engine/running/tuner.py)
UNKNOWN_FLOPS = 1e7  # per frame, if they have not been counted: those of ResNet-50; only for the order of trials


@dataclass(frozen=True)
class Span:
    """A prediction with its interval."""

    low: float
    mid: float
    high: float

    def __add__(self, other: Span) -> Span:
        return Span(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __mul__(self, other: Span) -> Span:
        return Span(self.low * other.low, self.mid * other.mid, self.high * other.high)

    def times(self, factor: float) -> Span:
        """The span multiplied by a number."""
        return Span(factor * self.low, factor * self.mid, factor * self.high)


ZERO = Span(0, 0, 0)


@dataclass(frozen=True)
class Clips:
    """The number of clips of each role that a trial is given."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Cluster:
    """The machines that trials run on."""

    num_cpus: float
    num_gpus: float = 0
    memory_gb: float = math.inf  # of the largest node
    join_s: float = 0.0  # the time until the first trial can start

    @property
    def device(self) -> str:
        """The device in which hours are counted."""
        return "GPU" if self.num_gpus else "CPU"


@dataclass(frozen=True)
class Basis:
    """The basis of predictions."""

    measured: Mapping[str, Measured] = field(default_factory=dict)  # by cell, on `device`
    device: str = ""
    flops_per_s: Span | None = None  # the rate that a device reaches, for cells without a measurement
    cluster: Cluster = Cluster(1)
    ran_on: str = ""  # the device of the finished trials behind the predictions

    @property
    def load(self) -> Span:
        """The ratio of the cells' wall time to their CPU time: the mean, within two standard errors.

        It is the same for all cells, because it depends on the machine and on the minutes of the measurement.
        """
        loads = [m.load for m in self.measured.values()]
        mean = statistics.fmean(loads) if loads else 1.0
        error = 2 * statistics.stdev(loads) / len(loads) ** 0.5 if len(loads) > 1 else 0.0
        return Span(max(min(loads, default=1.0), mean - error), mean, mean + error)


@dataclass(frozen=True)
class Took:
    """The time that a finished trial took."""

    epochs: float
    epoch_s: float  # the time of its last epoch
    whole_s: float = 0.0  # from start to end, with pauses if it was resumed; 0 if unknown


@dataclass(frozen=True)
class Prediction:
    """The prediction for one trial."""

    seconds: Span
    network_gb: float | None = None  # measured; None if only operations are known
    epochs_s: Span | None = None  # the part of `seconds` for the epochs alone; None if only operations are known
    num_finished: int = 0  # the number of finished trials of the same settings and clips behind it


@dataclass(frozen=True)
class Forecast:
    """The prediction for several trials together."""

    wall_s: Span
    device_s: Span  # of GPUs, or of cores if there are none
    num_unknown: int  # the number of trials that are not included, because nothing is known about their network


def epochs(trial: TrialConfig) -> Span:
    """The number of epochs: from the first at which early stopping can end a trial, to all of them."""
    least = min(trial.epochs, trial.patience + 1) if trial.patience else trial.epochs
    return Span(least, (least + trial.epochs) / 2, trial.epochs)


def predict(trial: TrialConfig, clips: Clips, basis: Basis) -> Prediction | None:
    """The prediction for a trial; None if its cell is not measured and its operations are unknown."""
    if measured := basis.measured.get(cell_of(trial)):
        in_epochs, beside = _measured(trial, clips, measured, basis.load)
        return Prediction(in_epochs + beside, measured.peak_gb, in_epochs)
    flops = epoch_flops(trial, clips.train, clips.validation)
    if flops is None or basis.flops_per_s is None:
        return None
    num, rate, load = epochs(trial), basis.flops_per_s, basis.load
    least, mid, most = num.low / rate.high, num.mid / rate.mid, num.high / rate.low
    return Prediction(Span(load.low * flops * least, load.mid * flops * mid, load.high * flops * most))


def predict_again(trial: TrialConfig, finished: Sequence[Took], network_gb: float | None = None) -> Prediction:
    """The prediction for a trial from finished ones with the same clips and device that differ only in the seed.

    Its interval is a prediction interval for one more trial, with two standard deviations. A single finished trial
    does not show how the number of epochs varies; the interval is then as wide as early stopping allows.

    Args:
        trial: the trial.
        finished: the times of the finished trials.
        network_gb: the measured memory of the network; None if it was not measured.
    """
    took = [t.epochs * t.epoch_s for t in finished]
    mean, num = statistics.fmean(took), epochs(trial)
    error = 2 * statistics.stdev(took) * (1 + 1 / len(took)) ** 0.5 if len(took) > 1 else math.inf
    least, most = num.low * min(t.epoch_s for t in finished), num.high * max(t.epoch_s for t in finished)
    in_epochs = Span(min(mean, max(least, mean - error)), mean, max(mean, min(most, mean + error)))
    beside = (t.whole_s - s for t, s in zip(finished, took, strict=True) if t.whole_s > s)
    once_s = max(OVERHEAD_S, min(beside, default=OVERHEAD_S))  # the least, from a trial that was not cut off
    return Prediction(in_epochs + Span(once_s, once_s, once_s), network_gb, in_epochs, len(took))


def _measured(trial: TrialConfig, clips: Clips, measured: Measured, load: Span) -> tuple[Span, Span]:
    """The times for epochs and for everything else, from the median and the extremes of the measured rounds."""
    steps, num, median = num_samples(trial, clips.train) / trial.batch, epochs(trial), statistics.median
    once_s = OVERHEAD_S + measured.build_s + measured.load_s * (clips.train + clips.validation + clips.test)
    step_s = Span(min(measured.step_s), median(measured.step_s), max(measured.step_s))
    eval_s = Span(min(measured.eval_s), median(measured.eval_s), max(measured.eval_s))  # per clip
    epoch_s = step_s.times(steps) + eval_s.times(clips.validation)
    beside = Span(once_s, once_s, once_s) + eval_s.times(clips.test)
    return load * num * epoch_s, load * beside + num.times(measured.save_s)


def reached(trials: Iterable[TrialConfig], measured: Mapping[str, Measured]) -> Span | None:
    """The rates [FLOP/s] of the measured cells in training, with their median; None if no operations are counted."""
    cells = {cell: t for t in trials if (cell := cell_of(t)) in measured} if measured else {}
    rates = [
        (1 + BACKWARD) * forward * t.batch / statistics.median(measured[cell].step_s)
        for cell, t in cells.items()
        if (forward := forward_flops(t))
    ]
    return Span(min(rates), statistics.median(rates), max(rates)) if rates else None


def effort(trial: TrialConfig) -> float:
    """The work of a trial relative to others: its operations times epochs.

    If the operations of a network have not been counted, its frames are counted instead.
    """
    if trial.trained.embeds:
        return UNKNOWN_FLOPS * trial.num_frames  # each clip is embedded once
    forward = forward_flops(trial)
    flops = UNKNOWN_FLOPS * work(trial) if forward is None else forward * trial.epochs
    return flops / trial.clips_per_sample


def longest_first(trials: Iterable[TrialConfig], predictions: Mapping[str, Prediction]) -> list[TrialConfig]:
    """Sorts trials by predicted seconds if all are known, else by operations, so that none runs alone at the end.

    Trials with equal times keep their order, so that the seeds of a cell follow each other on the same clips.
    """
    ordered = list(trials)
    all_predicted = all(t.key in predictions for t in ordered)

    def seconds(trial: TrialConfig) -> float:
        return predictions[trial.key].seconds.mid if all_predicted else effort(trial)

    return sorted(ordered, key=seconds, reverse=True)


def forecast(
    trials: Sequence[TrialConfig],
    predictions: Mapping[str, Prediction],
    needs: Mapping[str, Needs],
    basis: Basis,
    asked: Asked,
) -> Forecast:
    """The forecast for trials that are started in order.

    Args:
        trials: the trials, in order.
        predictions: the prediction for each trial, by key.
        needs: the memory of each trial, by key.
        basis: the basis of the predictions.
        asked: the user's requests.
    """
    keyed = [(t, predictions[key], needs[key]) for t in trials if (key := t.key) in predictions]
    if not keyed:
        return Forecast(ZERO, ZERO, len(trials))
    cluster = basis.cluster
    shares = {need: resources_of(need, basis, asked) for _, _, need in keyed}
    # Without a measurement, the rate of a device is that of one trial alone, and trials at the same time share it.
    alone = [p.network_gb is None and not p.num_finished and cluster.num_gpus for _, p, _ in keyed]
    parts = [1.0 if a else devices_of(shares[n]) for a, (_, _, n) in zip(alone, keyed, strict=True)]
    total = {"CPU": cluster.num_cpus, "GPU": cluster.num_gpus, "memory": cluster.memory_gb * 1e9}
    at_once = min(asked.max_concurrent or math.inf, placement.room(list(shares.values()), total))
    devices = round(cluster.num_gpus) or int(at_once)
    on_devices = parts if cluster.num_gpus else [1.0] * len(parts)

    def wall(seconds: Sequence[float]) -> float:
        return makespan(seconds, on_devices, devices, int(at_once))

    start_s = max((m.start_s for m in basis.measured.values()), default=0.0)
    before_s = start_s + cluster.join_s
    spans = [p.seconds for _, p, _ in keyed]
    walls = Span(wall([s.low for s in spans]), wall([s.mid for s in spans]), wall([s.high for s in spans]))
    busy = sum((s.times(part) for s, part in zip(spans, parts, strict=True)), ZERO)
    first_s = start_s * sum(parts[: int(at_once)])  # each worker's first trial waits for its imports
    started = busy + Span(first_s, first_s, first_s)
    return Forecast(walls + Span(before_s, before_s, before_s), started, len(trials) - len(keyed))


def resources_of(needed: Needs, basis: Basis, asked: Asked) -> dict[str, float]:
    """The resources that a trial will be given on a node of the basis' cluster."""
    return placement.resources(needed, Nodes(basis.cluster.memory_gb, basis.cluster.num_gpus), asked)


def devices_of(resources: Mapping[str, float]) -> float:
    """The number of GPUs of a trial, or of its cores if it has none."""
    return resources.get("GPU", 0) or resources["CPU"]


def makespan(seconds: Sequence[float], parts: Sequence[float], num_devices: int, at_once: int) -> float:
    """The time at which the last job ends, if each is started in order as soon as a device has room for its part.

    With the longest jobs first, this is at most 4/3 of the optimum if every part is 1.

    Source:
        Graham 1969, list scheduling.
    """
    if len(set(parts)) == 1:  # devices are then slots, and 10,000 jobs take milliseconds
        slots = [0.0] * max(1, min(at_once, num_devices // math.ceil(parts[0]) * max(1, int(1 / parts[0] + 1e-9))))
        for job_s in seconds:
            heapq.heapreplace(slots, slots[0] + job_s)
        return max(slots)
    free = [1.0] * num_devices
    running: list[tuple[float, int, float]] = []
    time_s = last = 0.0
    for job_s, part in zip(seconds, parts, strict=True):
        while not (fitting := [d for d in range(num_devices) if free[d] >= part - 1e-9]) or len(running) >= at_once:
            time_s, device, ended = heapq.heappop(running)
            free[device] += ended
        tightest = min(fitting, key=lambda d: free[d])
        free[tightest] -= part
        heapq.heappush(running, (time_s + job_s, tightest, part))
        last = max(last, time_s + job_s)
    return last
