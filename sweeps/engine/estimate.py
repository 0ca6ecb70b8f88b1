"""What a plan is expected to take: from what was measured for the storage and what the flags assume."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from datasets.engine.splits import ROLES
from sweeps.engine.command.options import Options
from sweeps.engine.forecast import placement, timings
from sweeps.engine.forecast.budget import Budget, NoBudget
from sweeps.engine.forecast.cost import (
    Basis,
    Clips,
    Cluster,
    Forecast,
    Prediction,
    Span,
    Took,
    devices_of,
    forecast,
    predict,
    predict_again,
    reached,
    resources_of,
)
from sweeps.engine.forecast.placement import Needs
from sweeps.engine.plan import trial_name
from sweeps.engine.situation import Situation, wanted_by
from sweeps.engine.store.runs import Run
from trainable.config import CHANCE, FIELDS, TrialConfig
from trainable.cost.cost import cell_of

DEFAULTS = {name: str(field.default) for name, field in FIELDS.items() if not field.metadata["changes"] & CHANCE}
Settings = frozenset[tuple[str, str]]  # fields and values that are not the defaults, in words
History = dict[Settings, list[tuple[Run, Took]]]


@dataclass(frozen=True)
class Spent:
    """What the trials of one start took."""

    wall_s: float
    busy_s: Mapping[str, float]  # of each trial that finished, by key


def basis(trials: Sequence[TrialConfig], options: Options) -> Basis:
    """What predictions are made from: --tflops, or the storage's last measurement; and for which cluster."""
    known = timings.read(options.storage)
    there = known.cluster or Cluster(os.cpu_count() or 1)
    if options.gpus is not None or options.cpus is not None:
        num_gpus = there.num_gpus if options.gpus is None else options.gpus
        there = replace(there, num_gpus=num_gpus, num_cpus=options.cpus or max(there.num_cpus, num_gpus))
    same_kind = known.cluster is not None and (known.cluster.num_gpus > 0) == (there.num_gpus > 0)
    measured = known.here if same_kind and options.tflops is None else {}
    rate = reached(trials, measured) if options.tflops is None else Span(1, 1, 1).times(1e12 * options.tflops)
    return Basis(measured, known.device if measured else "", rate, there)


def predicted(situation: Situation, options: Options) -> Situation:
    """The situation with what each of its trials will take, where that is known.

    Finished trials of the same settings, clips and device are the best witnesses, because they have shown how many
    epochs it takes too; then come measurements of the cells, then operations. An assumed speed (--tflops) is for all.
    """
    trials, found = situation.sweep.trials, basis(situation.sweep.trials, options)
    past: History = {}
    if options.tflops is None:
        found, past = history({settings(t) for t in trials}, situation.runs, found, options)
    seeds: dict[Settings, Prediction | None] = {}  # which take the same
    predictions = {}
    for trial in trials:
        if (alike := settings(trial)) not in seeds:
            seeds[alike] = _prediction(situation, trial, found, past.get(alike, []))
        if prediction := seeds[alike]:
            predictions[trial.key] = prediction
    return replace(situation, predictions=predictions, basis=found)


def _prediction(
    situation: Situation, trial: TrialConfig, found: Basis, past: Sequence[tuple[Run, Took]]
) -> Prediction | None:
    if not (clips := clips_of(situation, trial)):
        return None
    if past:
        data = situation.data[wanted_by(trial)]
        inputs = {"data_sha256": data.scan.sha256, "split_sha256": data.split.sha256}
        if finished := [took for run, took in past if inputs.items() <= run.tags.items()]:
            measured = found.measured.get(cell_of(trial))
            return predict_again(trial, finished, measured.peak_gb if measured else None)
    return predict(trial, clips, found)


def settings(trial: TrialConfig) -> Settings:
    """All but the seed, as a store has it."""
    return settings_among({name: str(value) for name, value in trial.to_dict().items()})


def settings_among(params: Mapping[str, str]) -> Settings:
    """The settings among a run's parameters."""
    return frozenset(
        (name, text)
        for name, text in params.items()
        if name.partition(".")[0] in DEFAULTS and text != DEFAULTS.get(name)
    )


def history(wanted: Collection[Settings], runs: Iterable[Run], found: Basis, options: Options) -> tuple[Basis, History]:
    """What finished trials of these settings took on one device: the measured one, or the last that one of them had.

    Args:
        found: what is known without them; of a cluster that nobody has looked at, they tell whether it has GPUs.
    """
    past: dict[str, History] = defaultdict(lambda: defaultdict(list))  # by device
    device = ""
    for run in runs:
        alike = settings_among(run.params)
        if alike in wanted and (took := _took(run)) and _shared_as_now(run, options):
            device = run.tags["device"]
            past[device][alike].append((run, took))
    if found.device:
        device = next((there for there in past if found.device.startswith(f"{there}, ")), "")
    if not device:
        return found, {}
    on_gpu = not device.startswith("CPU")
    if on_gpu and options.gpus is None and options.cpus is None and timings.read(options.storage).cluster is None:
        found = replace(found, cluster=replace(found.cluster, num_gpus=1))
    if on_gpu != (found.cluster.num_gpus > 0):
        return found, {}
    return replace(found, ran_on=device), past[device]


def _took(run: Run) -> Took | None:
    """None of a run that is not finished, or ended before its time."""
    numbers = run.metrics
    whole = run.status == "FINISHED" and not numbers.get("gave_up") and not numbers.get("diverged")
    if not whole or "device" not in run.tags or not {"epochs_run", "epoch_s"} <= numbers.keys():
        return None
    return Took(numbers["epochs_run"], numbers["epoch_s"], run.took_s)


def _shared_as_now(run: Run, options: Options) -> bool:
    """Whether a trial had as many cores, or GPUs, as one would have now."""
    if run.tags["device"].startswith("CPU"):
        return run.tags.get("num_threads") == str(options.cpus_per_trial)
    return run.tags.get("num_devices", "1") == str(max(1, int(options.gpus_per_trial or 1)))


def clips_of(situation: Situation, trial: TrialConfig) -> Clips | None:
    """What a trial is given; None while its corpus was not read."""
    data = situation.data.get(wanted_by(trial))
    return Clips(*(data.counts[role][1] for role in ROLES)) if data else None


def needs(situation: Situation, trials: Iterable[TrialConfig]) -> dict[str, Needs]:
    """What each trial holds at its peak, by key: its network by measurement, where there is one."""
    found: dict[str, Needs] = {}
    seeds: dict[tuple[object, ...], Needs] = {}
    for trial in trials:
        key = trial.key
        prediction = situation.predictions.get(key)
        measured_gb = prediction.network_gb if prediction else None
        alike = (cell_of(trial), wanted_by(trial), measured_gb)
        if alike not in seeds:
            seeds[alike] = placement.needs(trial, situation.num_clips(trial), measured_gb)
        found[key] = seeds[alike]
    return found


def forecast_of(situation: Situation, trials: Sequence[TrialConfig], options: Options) -> Forecast:
    """What these trials of a situation will take together."""
    known = needs(situation, (t for t in trials if t.key in situation.predictions))
    return forecast(trials, situation.predictions, known, situation.basis, options.asked)


def device_parts(situation: Situation, options: Options) -> dict[str, float]:
    """How many GPUs, or cores, each trial with a prediction is given: what turns its seconds into their seconds."""
    asked = options.asked
    known = needs(situation, (t for t in situation.sweep.trials if t.key in situation.predictions))
    part = {need: devices_of(resources_of(need, situation.basis, asked)) for need in set(known.values())}
    return {key: part[need] for key, need in known.items()}


def budget_of(situation: Situation, options: Options) -> Budget | None:
    """What --budget leaves of itself; None without that flag.

    Raises:
        NoBudget: if what the trials take is not known, or is counted in other hours.
    """
    if options.budget is None:
        return None
    device = situation.basis.cluster.device
    if device != options.budget.device:
        raise NoBudget(f"--budget: trials run on {device}s here; write {options.budget.hours:g}{device.lower()}-h")
    if unknown := [t for t in situation.to_run if t.key not in situation.predictions]:
        raise NoBudget(f"--budget: what {trial_name(unknown[0])} takes is not known; measure it first with --measure")
    parts = device_parts(situation, options)
    spent_s = sum(
        parts.get(key, 0) * sum(row["epoch_s"] for row in record.history) for key, record in situation.records.items()
    )
    predicted_s = {t.key: situation.predictions[t.key].seconds.mid for t in situation.to_run}
    return Budget(options.budget, spent_s, predicted_s, parts)
