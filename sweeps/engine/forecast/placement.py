"""What share of a node a trial is given, by rule: pure arithmetic on its config and the number of its clips."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainable.config import TrialConfig

WORKER_GB = 1.5  # an interpreter with torch and Ray loaded; on a GPU its context is about as large
BYTES_PER_PARAMETER = 16  # float32 weight, gradient, and Adam's two moments
FRACTIONS = (0.125, 0.25, 0.5, 1.0)  # of a GPU; few, because workers are reused among trials of the same share


@dataclass(frozen=True)
class Needs:
    """What a trial holds at its peak, by estimate [GB]."""

    data_gb: float  # its clips, on the device
    network_gb: float  # weights, optimiser and a batch's activations, on the device


@dataclass(frozen=True)
class Asked:
    """What the user asks of the nodes."""

    max_concurrent: int | None = None  # trials at once; None for as many as there is room for
    cpus_per_trial: int = 1  # for each of its GPUs
    gpus_per_trial: float | None = None  # None follows the rule; above 1 it is whole, and they share every batch
    gpu_memory_gb: float = 24.0  # of one GPU, for the rule
    accelerator: str = ""  # Ray's name of the GPU that trials need, such as H100


@dataclass(frozen=True)
class Nodes:
    """What the nodes are like."""

    memory_gb: float  # that Ray gives out on the largest
    num_gpus: float  # of the whole cluster; 0 means that trials run on CPUs
    most_gpus: float = math.inf  # of the node that has most: a trial stays on one


def needs(config: TrialConfig, num_clips: int, measured_gb: float | None = None) -> Needs:
    """The estimate for one trial.

    Args:
        num_clips: of all three roles.
        measured_gb: what the network was seen to take; None for the rule.
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
    """The trial's share, under Ray's names. It is never more than a node can have, so that every trial starts."""
    on_gpu = nodes.num_gpus > 0
    device_gb = needed.data_gb + needed.network_gb
    gpus = 0.0
    if on_gpu:
        fits = (f for f in FRACTIONS if f * asked.gpu_memory_gb >= device_gb + WORKER_GB)
        gpus = next(fits, 1.0) if asked.gpus_per_trial is None else min(asked.gpus_per_trial, nodes.most_gpus)
    workers = max(1, int(gpus))  # a process for each GPU
    host_gb = workers * WORKER_GB + (0 if on_gpu else device_gb)
    # Powers of two, because workers are reused among trials of the same share.
    memory_gb = min(2.0 ** math.ceil(math.log2(host_gb)), nodes.memory_gb)
    cpus = workers * asked.cpus_per_trial
    resources: dict[str, float] = {"CPU": cpus, "GPU": gpus, "memory": math.floor(memory_gb * 1e9)}
    if on_gpu and asked.accelerator:
        resources[f"accelerator_type:{asked.accelerator}"] = 0.001
    return {name: amount for name, amount in resources.items() if amount > 0}


def room(each: list[dict[str, float]], total: dict[str, float]) -> int:
    """How many trials there is room for at once, at most, in a cluster that has `total`."""
    smallest = {name: min(s.get(name, 0) for s in each) for name in ("CPU", "GPU", "memory")}
    return max(1, int(min(total.get(name, 0) / amount + 1e-9 for name, amount in smallest.items() if amount > 0)))
