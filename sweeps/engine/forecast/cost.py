"""How long trials will take: pure arithmetic on what was measured, or on counted operations."""

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

OVERHEAD_S = 0.3  # of a trial in a warm worker, its own work apart (sweeps/engine/running/tuner.py)
UNKNOWN_FLOPS = 1e7  # of a frame, where nobody has counted: ResNet-50's; for an order of trials only


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
        """The same, scaled."""
        return Span(factor * self.low, factor * self.mid, factor * self.high)


ZERO = Span(0, 0, 0)


@dataclass(frozen=True)
class Clips:
    """How many a trial is given of each role."""

    train: int
    validation: int
    test: int


@dataclass(frozen=True)
class Cluster:
    """What trials run on."""

    num_cpus: float
    num_gpus: float = 0
    memory_gb: float = math.inf  # of the largest node
    join_s: float = 0.0  # until the first trial can start

    @property
    def device(self) -> str:
        """What hours are counted of."""
        return "GPU" if self.num_gpus else "CPU"


@dataclass(frozen=True)
class Basis:
    """What predictions are made from."""

    measured: Mapping[str, Measured] = field(default_factory=dict)  # by cell, on `device`
    device: str = ""
    flops_per_s: Span | None = None  # that a device reaches, for cells that nobody has measured
    cluster: Cluster = Cluster(1)
    ran_on: str = ""  # the device of the finished trials that predictions rest on

    @property
    def load(self) -> Span:
        """How much longer than their CPU time the cells took: the mean, and what it may be by two standard errors.

        It is one for all cells, because it is of the machine, and of the minutes in which they were measured.
        """
        loads = [m.load for m in self.measured.values()]
        mean = statistics.fmean(loads) if loads else 1.0
        error = 2 * statistics.stdev(loads) / len(loads) ** 0.5 if len(loads) > 1 else 0.0
        return Span(max(min(loads, default=1.0), mean - error), mean, mean + error)


@dataclass(frozen=True)
class Took:
    """What a finished trial took."""

    epochs: float
    epoch_s: float  # of its last
    whole_s: float = 0.0  # with the time between, if it was cut off and went on; 0 where nobody knows


@dataclass(frozen=True)
class Prediction:
    """What one trial will take."""

    seconds: Span
    network_gb: float | None = None  # as measured; None where only operations are known
    epochs_s: Span | None = None  # of `seconds`, what its epochs take by themselves; None likewise
    num_finished: int = 0  # trials of the same settings and clips that it rests on


@dataclass(frozen=True)
class Forecast:
    """What several trials will take together."""

    wall_s: Span
    device_s: Span  # of GPUs, or of cores where there are none
    num_unknown: int  # trials that are in neither, because nothing is known of their network


def epochs(trial: TrialConfig) -> Span:
    """Between the first epoch at which early stopping can end a trial, and all of them."""
    least = min(trial.epochs, trial.patience + 1) if trial.patience else trial.epochs
    return Span(least, (least + trial.epochs) / 2, trial.epochs)


def predict(trial: TrialConfig, clips: Clips, basis: Basis) -> Prediction | None:
    """What a trial will take; None if its cell is not measured and its operations are not known."""
    if found := basis.measured.get(cell_of(trial)):
        in_epochs, beside = _measured(trial, clips, found, basis.load)
        return Prediction(in_epochs + beside, found.peak_gb, in_epochs)
    flops = epoch_flops(trial, clips.train, clips.validation)
    if flops is None or basis.flops_per_s is None:
        return None
    num, rate, load = epochs(trial), basis.flops_per_s, basis.load
    least, mid, most = num.low / rate.high, num.mid / rate.mid, num.high / rate.low
    return Prediction(Span(load.low * flops * least, load.mid * flops * mid, load.high * flops * most))


def predict_again(trial: TrialConfig, finished: Sequence[Took], network_gb: float | None = None) -> Prediction:
    """What a trial will take, from those that differ from it in nothing but the seed, on the same clips and device.

    The interval is that of one trial more: two standard deviations of theirs, and of their mean. One alone does not
    tell how epochs vary; then it is as wide as early stopping lets it be.

    Args:
        network_gb: as measured; None if it was not.
    """
    took = [t.epochs * t.epoch_s for t in finished]
    mean, num = statistics.fmean(took), epochs(trial)
    error = 2 * statistics.stdev(took) * (1 + 1 / len(took)) ** 0.5 if len(took) > 1 else math.inf
    least, most = num.low * min(t.epoch_s for t in finished), num.high * max(t.epoch_s for t in finished)
    in_epochs = Span(min(mean, max(least, mean - error)), mean, max(mean, min(most, mean + error)))
    beside = (t.whole_s - s for t, s in zip(finished, took, strict=True) if t.whole_s > s)
    once_s = max(OVERHEAD_S, min(beside, default=OVERHEAD_S))  # the least, which was not cut off
    return Prediction(in_epochs + Span(once_s, once_s, once_s), network_gb, in_epochs, len(took))


def _measured(trial: TrialConfig, clips: Clips, found: Measured, load: Span) -> tuple[Span, Span]:
    """What epochs take, and all else, from the measured rounds, whose extremes hold the median."""
    steps, num, median = num_samples(trial, clips.train) / trial.batch, epochs(trial), statistics.median
    once_s = OVERHEAD_S + found.build_s + found.load_s * (clips.train + clips.validation + clips.test)
    step_s = Span(min(found.step_s), median(found.step_s), max(found.step_s))
    eval_s = Span(min(found.eval_s), median(found.eval_s), max(found.eval_s))  # of a clip
    epoch_s = step_s.times(steps) + eval_s.times(clips.validation)
    beside = Span(once_s, once_s, once_s) + eval_s.times(clips.test)
    return load * num * epoch_s, load * beside + num.times(found.save_s)


def reached(trials: Iterable[TrialConfig], measured: Mapping[str, Measured]) -> Span | None:
    """The rates [FLOP/s] of the measured cells' training steps, their median in the middle; None if none is counted."""
    cells = {cell: t for t in trials if (cell := cell_of(t)) in measured} if measured else {}
    rates = [
        (1 + BACKWARD) * forward * t.batch / statistics.median(measured[cell].step_s)
        for cell, t in cells.items()
        if (forward := forward_flops(t))
    ]
    return Span(min(rates), statistics.median(rates), max(rates)) if rates else None


def effort(trial: TrialConfig) -> float:
    """How much a trial has to do against another: its operations, where they are counted, times epochs.

    Of a network that nobody has counted it is the frames that are.
    """
    if trial.trained.embeds:
        return UNKNOWN_FLOPS * trial.num_frames  # embeds each clip once
    forward = forward_flops(trial)
    flops = UNKNOWN_FLOPS * work(trial) if forward is None else forward * trial.epochs
    return flops / trial.clips_per_sample


def longest_first(trials: Iterable[TrialConfig], predictions: Mapping[str, Prediction]) -> list[TrialConfig]:
    """By predicted seconds where all are known, or by operations, so that none is left running alone at the end.

    Trials that take the same stay in their order: the seeds of a cell beside each other, on the same clips.
    """
    listed = list(trials)
    known = all(t.key in predictions for t in listed)

    def seconds(trial: TrialConfig) -> float:
        return predictions[trial.key].seconds.mid if known else effort(trial)

    return sorted(listed, key=seconds, reverse=True)


def forecast(
    trials: Sequence[TrialConfig],
    predictions: Mapping[str, Prediction],
    needs: Mapping[str, Needs],
    basis: Basis,
    asked: Asked,
) -> Forecast:
    """What the trials will take together, started in their order.

    Args:
        needs: of each trial, by key.
    """
    keyed = [(t, predictions[key], needs[key]) for t in trials if (key := t.key) in predictions]
    if not keyed:
        return Forecast(ZERO, ZERO, len(trials))
    cluster = basis.cluster
    found = {need: resources_of(need, basis, asked) for _, _, need in keyed}
    # Without a measurement a device's rate is that of one trial alone: several at once share it.
    alone = [p.network_gb is None and not p.num_finished and cluster.num_gpus for _, p, _ in keyed]
    parts = [1.0 if a else devices_of(found[n]) for a, (_, _, n) in zip(alone, keyed, strict=True)]
    total = {"CPU": cluster.num_cpus, "GPU": cluster.num_gpus, "memory": cluster.memory_gb * 1e9}
    at_once = min(asked.max_concurrent or math.inf, placement.room(list(found.values()), total))
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
    """What a trial will be given of a node of the basis' cluster."""
    return placement.resources(needed, Nodes(basis.cluster.memory_gb, basis.cluster.num_gpus), asked)


def devices_of(resources: Mapping[str, float]) -> float:
    """GPUs of a trial, or its cores where it has none."""
    return resources.get("GPU", 0) or resources["CPU"]


def makespan(seconds: Sequence[float], parts: Sequence[float], num_devices: int, at_once: int) -> float:
    """When the last job ends, each started in order as soon as a device has room for its part of one.

    With the longest jobs first this is at most 4/3 of the best there can be, where every part is 1.

    Source:
        Graham 1969, list scheduling.
    """
    if len(set(parts)) == 1:  # then devices are slots, and 10,000 jobs take milliseconds
        slots = [0.0] * max(1, min(at_once, num_devices // math.ceil(parts[0]) * max(1, int(1 / parts[0] + 1e-9))))
        for job_s in seconds:
            heapq.heapreplace(slots, slots[0] + job_s)
        return max(slots)
    free = [1.0] * num_devices
    running: list[tuple[float, int, float]] = []
    now = last = 0.0
    for job_s, part in zip(seconds, parts, strict=True):
        while not (fitting := [d for d in range(num_devices) if free[d] >= part - 1e-9]) or len(running) >= at_once:
            now, device, ended = heapq.heappop(running)
            free[device] += ended
        tightest = min(fitting, key=lambda d: free[d])
        free[tightest] -= part
        heapq.heappush(running, (now + job_s, tightest, part))
        last = max(last, now + job_s)
    return last
