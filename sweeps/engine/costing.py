"""Puts predictions into words: what a plan will take, and how far off that was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sweeps.engine import estimate
from sweeps.engine.display.standing import duration
from sweeps.engine.forecast.cost import Basis, Forecast, Span, epochs, longest_first
from trainable.cost.cost import cell_of, epoch_flops

if TYPE_CHECKING:
    from sweeps.engine.command.options import Options
    from sweeps.engine.estimate import Spent
    from sweeps.engine.situation import Situation
    from trainable.config import TrialConfig

BUSY = 1.2  # a load worth mentioning
NOT_COUNTED = "without reading and resampling the audio"


def plan_lines(situation: Situation, options: Options) -> Iterator[tuple[str, str]]:
    """Yields headings and lines on time, memory and money for the trials to run."""
    trials = situation.to_run
    if not trials:
        return
    if not situation.data:
        yield "time", "unknown until the corpus has been read; a run, or --measure, reads it"
        return
    basis = situation.basis
    total = estimate.forecast_of(situation, trials, options)
    if total.num_unknown < len(trials):
        yield from _time([t for t in trials if t.key in situation.predictions], total, situation)
        yield from _money(total, basis, options)
    if total.num_unknown:
        yield "time", f"unknown for {total.num_unknown} trials{_work(situation, trials)}"
    measured = (t for t in trials if (p := situation.predictions.get(t.key)) and p.network_gb is not None)
    if needs := estimate.needs(situation, measured):
        most = max(needs.values(), key=lambda n: n.data_gb + n.network_gb)
        yield "memory", f"at most {most.network_gb:.2f} GB for a network, as measured, and {most.data_gb:.2f} for clips"


def _time(trials: Sequence[TrialConfig], total: Forecast, situation: Situation) -> Iterator[tuple[str, str]]:
    basis = situation.basis
    yield (
        "time",
        f"{_interval(total.wall_s)} on {_devices(basis)}: {_hours(total.device_s, basis.cluster.device)}",
    )
    yield from _witnesses(trials, situation)
    spans = [epochs(t) for t in trials if not situation.predictions[t.key].num_finished]
    if spans:
        low, high = min(s.low for s in spans), max(s.high for s in spans)
        stops = f"for {high:g} epochs each" if low == high else f"for {low:g} to {high:g} epochs each (early stopping)"
        yield "", f"{stops}, {NOT_COUNTED}"
    else:
        yield "", NOT_COUNTED


def _witnesses(trials: Sequence[TrialConfig], situation: Situation) -> Iterator[tuple[str, str]]:
    """Yields the grounds of the predicted times."""
    basis, cells = situation.basis, {cell_of(t) for t in trials}
    finished = {cell_of(t): p.num_finished for t in trials if (p := situation.predictions[t.key]).num_finished}
    measured = len((cells & basis.measured.keys()) - finished.keys())
    if finished:
        number = sum(finished.values())
        yield "", f"{len(finished)} of {len(cells)} cells from {number} finished trials on {basis.ran_on}"
    if measured:
        busy = f", which was {basis.load.mid:.1f} times as slow as alone" if basis.load.mid >= BUSY else ""
        yield "", f"{measured} of {len(cells)} cells measured on {basis.device}{busy}"
    if (counted := len(cells) - len(finished) - measured) and basis.flops_per_s:
        source = "as the measured cells reach" if basis.measured else "as assumed"
        speed = f"{basis.flops_per_s.mid / 1e12:.3g} TFLOP/s, {source}"
        yield "", f"{counted} cells from their operations, at {speed}"


def _money(total: Forecast, basis: Basis, options: Options) -> Iterator[tuple[str, str]]:
    device = basis.cluster.device
    number = round(basis.cluster.num_gpus or basis.cluster.num_cpus)
    if options.price_per_hour:  # for all devices from start to end, busy or not
        price = total.wall_s.times(number * options.price_per_hour / 3600)
        each = f"{options.price_per_hour:g} an hour for each of {number} {device}s"
        yield "cost", f"{price.mid:.2f} ({price.low:.2f} to {price.high:.2f}), at {each}"
    if options.watts:
        energy = total.device_s.times(options.watts / 3.6e6)
        each = f"{options.watts:g} W for each {device} that works"
        yield "energy", f"{energy.mid:.2g} kWh ({energy.low:.2g} to {energy.high:.2g}), at {each}"


def _work(situation: Situation, trials: Sequence[TrialConfig]) -> str:
    """Words on the operations of trials without a prediction, and on how to get one."""
    unknown = [t for t in trials if t.key not in situation.predictions]
    counted = []
    for trial in unknown:
        clips = estimate.clips_of(situation, trial)
        if clips and (flops := epoch_flops(trial, clips.train, clips.validation)):
            counted.append(trial.epochs * flops)
    remedy = "--measure finds out"
    if not counted:
        return f": their operations have not been counted; {remedy}"
    least = "at least " * (len(counted) < len(unknown))
    return f": {least}{_engineering(sum(counted))}FLOP if none stops early; {remedy}, --tflops assumes a speed"


def outcome_line(situation: Situation, spent: Spent, options: Options) -> str:
    """The time of finished trials beside its prediction; empty if nothing was predicted."""
    ended = (t for t in situation.sweep.trials if t.key in spent.busy_s and t.key in situation.predictions)
    trials = longest_first(ended, situation.predictions)
    if not trials:
        return ""
    basis = situation.basis
    predicted = estimate.forecast_of(situation, trials, options)
    parts = estimate.device_parts(situation, options)
    busy_s = sum(parts[t.key] * spent.busy_s[t.key] for t in trials)
    wall = (
        f"{duration(spent.wall_s)}, {_interval(predicted.wall_s)} predicted ({_error(spent.wall_s, predicted.wall_s)})"
    )
    device = basis.cluster.device
    hours = f"{busy_s / 3600:.2g} {device}-hours, {_hours(predicted.device_s, device)} predicted"
    return f"{wall}; {hours} ({_error(busy_s, predicted.device_s)})"


def _error(actual: float, predicted: Span) -> str:
    return f"{100 * (predicted.mid / actual - 1):+.0f} %" if actual else "nothing took time"


def _interval(seconds: Span) -> str:
    return f"{duration(seconds.mid)} ({duration(seconds.low)} to {duration(seconds.high)})"


def _hours(seconds: Span, device: str) -> str:
    low, mid, high = (f"{s / 3600:.2g}" for s in (seconds.low, seconds.mid, seconds.high))
    return f"{mid} {device}-hours ({low} to {high})"


def _devices(basis: Basis) -> str:
    number = round(basis.cluster.num_gpus or basis.cluster.num_cpus)
    return f"{number} {basis.cluster.device}{'s' * (number > 1)}"


def _engineering(number: float) -> str:
    for power, prefix in ((18, "E"), (15, "P"), (12, "T")):
        if number >= 10**power:
            return f"{number / 10**power:.3g} {prefix}"
    return f"{number / 1e9:.3g} G"
