"""The share of a node that a trial is given, by rule: pure arithmetic on its config and its number of clips."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainable.config import TrialConfig

WORKER_GB = 1.5  # an interpreter with torch and Ray loaded; its context on a GPU is about as large
BYTES_PER_PARAMETER = 16  # float32 weight, gradient, and Adam's two moments
FRACTIONS = (0.125, 0.25, 0.5, 1.0)  # of a GPU; few, because workers are reused for trials with the same share


@dataclass(frozen=True)
class Needs:
    """The estimated peak memory of a trial [GB]."""

    data_gb: float  # its clips, on the device
    network_gb: float  # weights, optimiser and a batch's activations, on the device


@dataclass(frozen=True)
class Asked:
    """The user's requests for the nodes."""

    max_concurrent: int | None = None  # trials at once; None for as many as there is room for
    cpus_per_trial: int = 1  # cores for each of its GPUs
    gpus_per_trial: float | None = (
        None  # None for the rule; above 1 it is a whole number, and the GPUs share each batch
    )
    gpu_memory_gb: float = 24.0  # the memory of one GPU, for the rule
    accelerator: str = ""  # Ray's name for the GPU that trials need, such as H100


@dataclass(frozen=True)
class Nodes:
    """The nodes of a cluster."""

    memory_gb: float  # the memory that Ray provides on the largest node
    num_gpus: float  # of the whole cluster; with 0, trials run on CPUs
    most_gpus: float = math.inf  # of the node with the most: a trial stays on one node


def needs(config: TrialConfig, num_clips: int, measured_gb: float | None = None) -> Needs:
    """The estimated memory of one trial.

    Args:
        config: the trial.
        num_clips: the number of clips of all three roles.
        measured_gb: the measured memory of the network; None for the rule.
    """
    card = config.card
    frames, mels = config.logmel_shape
    per_clip = 2 * math.prod(config.given.shape(config))  # in half precision, or 16 bits
    drawn = config.batch * config.clips_per_sample
    activations = drawn * frames * mels * card.bytes_per_cell * config.width
    parameters = BYTES_PER_PARAMETER * (card.num_parameters or 0) * config.width**2
    by_rule_gb = (activations + parameters) / 1e9
    return Needs(num_clips * per_clip / 1e9, by_rule_gb if measured_gb is None else measured_gb)


def resources(needed: Needs, nodes: Nodes, asked: Asked) -> dict[str, float]:
    """The trial's share of a node, under Ray's names. It never exceeds a node, so that every trial starts."""
    on_gpu = nodes.num_gpus > 0
    device_gb = needed.data_gb + needed.network_gb
    gpus = 0.0
    if on_gpu:
        fits = (f for f in FRACTIONS if f * asked.gpu_memory_gb >= device_gb + WORKER_GB)
        gpus = next(fits, 1.0) if asked.gpus_per_trial is None else min(asked.gpus_per_trial, nodes.most_gpus)
    workers = max(1, int(gpus))  # a process for each GPU
    host_gb = workers * WORKER_GB + (0 if on_gpu else device_gb)
    # Powers of two, because workers are reused for trials with the same share.
    memory_gb = min(2.0 ** math.ceil(math.log2(host_gb)), nodes.memory_gb)
    cpus = workers * asked.cpus_per_trial
    resources: dict[str, float] = {"CPU": cpus, "GPU": gpus, "memory": math.floor(memory_gb * 1e9)}
    if on_gpu and asked.accelerator:
        resources[f"accelerator_type:{asked.accelerator}"] = 0.001
    return {name: amount for name, amount in resources.items() if amount > 0}


def room(each: list[dict[str, float]], total: dict[str, float]) -> int:
    """The largest number of trials that fit at once into a cluster with `total` resources."""
    smallest = {name: min(s.get(name, 0) for s in each) for name in ("CPU", "GPU", "memory")}
    return max(1, int(min(total.get(name, 0) / amount + 1e-9 for name, amount in smallest.items() if amount > 0)))
