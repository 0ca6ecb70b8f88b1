"""The expected time and memory of a plan, from the storage's measurements and the assumptions of the flags."""

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
from sweeps.engine.situation import Situation, wanted_by
from sweeps.engine.store.runs import Run
from trainable.config import CHANCE, FIELDS, TrialConfig
from trainable.cost.cost import cell_of

DEFAULTS = {name: str(field.default) for name, field in FIELDS.items() if not field.metadata["changes"] & CHANCE}
Settings = frozenset[tuple[str, str]]  # the fields that are not at their defaults, and their values as text
History = dict[Settings, list[tuple[Run, Took]]]


@dataclass(frozen=True)
class Spent:
    """The time that the trials of one start took."""

    wall_s: float
    busy_s: Mapping[str, float]  # the time of each finished trial, by key


def basis(trials: Sequence[TrialConfig], options: Options) -> Basis:
    """The basis of predictions: --tflops or the storage's last measurement, and the cluster."""
    stored = timings.read(options.storage)
    cluster = stored.cluster or Cluster(os.cpu_count() or 1)
    if options.gpus is not None or options.cpus is not None:
        num_gpus = cluster.num_gpus if options.gpus is None else options.gpus
        cluster = replace(cluster, num_gpus=num_gpus, num_cpus=options.cpus or max(cluster.num_cpus, num_gpus))
    same_kind = stored.cluster is not None and (stored.cluster.num_gpus > 0) == (cluster.num_gpus > 0)
    measured = stored.here if same_kind and options.tflops is None else {}
    rate = reached(trials, measured) if options.tflops is None else Span(1, 1, 1).times(1e12 * options.tflops)
    return Basis(measured, stored.device if measured else "", rate, cluster)


def predicted(situation: Situation, options: Options) -> Situation:
    """Adds predictions to a situation, for the trials that allow one.

    Finished trials of the same settings, clips and device are the best evidence, because they also show how many
    epochs a trial takes; then come measurements of the cells, then operations. An assumed speed (--tflops) is for all.
    """
    trials, current_basis = situation.sweep.trials, basis(situation.sweep.trials, options)
    past: History = {}
    if options.tflops is None:
        current_basis, past = history({settings(t) for t in trials}, situation.runs, current_basis, options)
    seeds: dict[Settings, Prediction | None] = {}  # seeds of the same settings share a prediction
    predictions = {}
    for trial in trials:
        if (alike := settings(trial)) not in seeds:
            seeds[alike] = _prediction(situation, trial, current_basis, past.get(alike, []))
        if prediction := seeds[alike]:
            predictions[trial.key] = prediction
    return replace(situation, predictions=predictions, basis=current_basis)


def _prediction(
    situation: Situation, trial: TrialConfig, current_basis: Basis, past: Sequence[tuple[Run, Took]]
) -> Prediction | None:
    if not (clips := clips_of(situation, trial)):
        return None
    if past:
        data = situation.data[wanted_by(trial)]
        inputs = {"data_sha256": data.scan.sha256, "split_sha256": data.split.sha256}
        if finished := [took for run, took in past if inputs.items() <= run.tags.items()]:
            measured = current_basis.measured.get(cell_of(trial))
            return predict_again(trial, finished, measured.peak_gb if measured else None)
    return predict(trial, clips, current_basis)


def settings(trial: TrialConfig) -> Settings:
    """The settings of a trial without its seed, as text."""
    return settings_among({name: str(value) for name, value in trial.to_dict().items()})


def settings_among(params: Mapping[str, str]) -> Settings:
    """The settings among a run's parameters."""
    return frozenset(
        (name, text)
        for name, text in params.items()
        if name.partition(".")[0] in DEFAULTS and text != DEFAULTS.get(name)
    )


def history(
    sought: Collection[Settings], runs: Iterable[Run], current_basis: Basis, options: Options
) -> tuple[Basis, History]:
    """The times of finished trials of these settings on one device: the measured one, or that of the latest trial.

    Args:
        sought: the settings.
        runs: the runs of the store, oldest first.
        current_basis: the basis without these trials; they tell whether a cluster that was never inspected has GPUs.
        options: the options of the command line.

    Returns:
        The basis, with the device of the trials, and their runs and times by settings.
    """
    past: dict[str, History] = defaultdict(lambda: defaultdict(list))  # by device
    device = ""
    for run in runs:
        alike = settings_among(run.params)
        if alike in sought and (took := _took(run)) and _shared_as_now(run, options):
            device = run.tags["device"]
            past[device][alike].append((run, took))
    if current_basis.device:
        device = next((name for name in past if current_basis.device.startswith(f"{name}, ")), "")
    if not device:
        return current_basis, {}
    on_gpu = not device.startswith("CPU")
    if on_gpu and options.gpus is None and options.cpus is None and timings.read(options.storage).cluster is None:
        current_basis = replace(current_basis, cluster=replace(current_basis.cluster, num_gpus=1))
    if on_gpu != (current_basis.cluster.num_gpus > 0):
        return current_basis, {}
    return replace(current_basis, ran_on=device), past[device]


def _took(run: Run) -> Took | None:
    """The time of a run; None if it did not finish, gave up or diverged."""
    numbers = run.metrics
    completed = run.status == "FINISHED" and not numbers.get("gave_up") and not numbers.get("diverged")
    if not completed or "device" not in run.tags or not {"epochs_run", "epoch_s"} <= numbers.keys():
        return None
    return Took(numbers["epochs_run"], numbers["epoch_s"], run.took_s)


def _shared_as_now(run: Run, options: Options) -> bool:
    """Whether a trial had as many cores or GPUs as it would have now."""
    if run.tags["device"].startswith("CPU"):
        return run.tags.get("num_threads") == str(options.cpus_per_trial)
    return run.tags.get("num_devices", "1") == str(max(1, int(options.gpus_per_trial or 1)))


def clips_of(situation: Situation, trial: TrialConfig) -> Clips | None:
    """The numbers of clips of a trial; None until its corpus has been read."""
    data = situation.data.get(wanted_by(trial))
    return Clips(*(data.counts[role][1] for role in ROLES)) if data else None


def needs(situation: Situation, trials: Iterable[TrialConfig]) -> dict[str, Needs]:
    """The peak memory of each trial, by key; that of its network is measured, if a measurement exists."""
    by_key: dict[str, Needs] = {}
    seeds: dict[tuple[object, ...], Needs] = {}
    for trial in trials:
        key = trial.key
        prediction = situation.predictions.get(key)
        measured_gb = prediction.network_gb if prediction else None
        alike = (cell_of(trial), wanted_by(trial), measured_gb)
        if alike not in seeds:
            seeds[alike] = placement.needs(trial, situation.num_clips(trial), measured_gb)
        by_key[key] = seeds[alike]
    return by_key


def forecast_of(situation: Situation, trials: Sequence[TrialConfig], options: Options) -> Forecast:
    """The forecast for these trials of a situation together."""
    known_needs = needs(situation, (t for t in trials if t.key in situation.predictions))
    return forecast(trials, situation.predictions, known_needs, situation.basis, options.asked)


def device_parts(situation: Situation, options: Options) -> dict[str, float]:
    """The number of GPUs, or of cores, of each trial with a prediction: the factor from seconds to device-seconds."""
    asked = options.asked
    known_needs = needs(situation, (t for t in situation.sweep.trials if t.key in situation.predictions))
    part = {need: devices_of(resources_of(need, situation.basis, asked)) for need in set(known_needs.values())}
    return {key: part[need] for key, need in known_needs.items()}


def budget_of(situation: Situation, options: Options) -> Budget | None:
    """The remainder of --budget; None without that flag.

    Raises:
        NoBudget: if the time of a trial is unknown, or is counted in hours of another device.
    """
    if options.budget is None:
        return None
    device = situation.basis.cluster.device
    if device != options.budget.device:
        raise NoBudget(f"--budget: trials run on {device}s here; write {options.budget.hours:g}{device.lower()}-h")
    if unknown := [t for t in situation.to_run if t.key not in situation.predictions]:
        name = situation.sweep.title(unknown[0])
        raise NoBudget(f"--budget: the time of {name} is unknown; measure it first with --measure")
    parts = device_parts(situation, options)
    spent_s = sum(
        parts.get(key, 0) * sum(row["epoch_s"] for row in record.history) for key, record in situation.records.items()
    )
    predicted_s = {t.key: situation.predictions[t.key].seconds.mid for t in situation.to_run}
    names = {t.key: situation.sweep.title(t) for t in situation.to_run}
    return Budget(options.budget, spent_s, predicted_s, parts, names)
