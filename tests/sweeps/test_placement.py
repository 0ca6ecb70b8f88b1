"""The share of a node that a trial is given."""

from __future__ import annotations

import dataclasses

import pytest

from sweeps.deepship_rates import SWEEP
from sweeps.engine.forecast.placement import FRACTIONS, Asked, Needs, Nodes, needs, resources, room
from sweeps.recipes.mohammadi import RATES as BASE

LAPTOP = Nodes(memory_gb=10, num_gpus=0)
CLUSTER = Nodes(memory_gb=200, num_gpus=8)
DEEPSHIP_CLIPS = 33_770


def test_needs_grow_with_what_they_are_made_of() -> None:
    """More frames, more clips, a wider network or mixup never need less."""
    base = needs(BASE, 1000)
    assert needs(BASE, 2000).data_gb == pytest.approx(2 * base.data_gb)
    assert needs(dataclasses.replace(BASE, data_hz=64_000), 1000).data_gb > base.data_gb
    assert needs(dataclasses.replace(BASE, augment="none"), 1000).network_gb < base.network_gb
    assert needs(dataclasses.replace(BASE, width=0.5, weights="none"), 1000).network_gb < base.network_gb


def test_a_network_says_what_a_step_keeps() -> None:
    """By CNN14's card, 64 clips of 5 s at 32 kHz take 6.3 GB, besides 1.3 GB for its parameters."""
    assert needs(BASE, 0).network_gb == pytest.approx((64 * 501 * 64 * 64 * 6 * 4 * 2 + 16 * 80_753_615) / 1e9)
    bands = dataclasses.replace(BASE, backbone="baseline/bands", weights="none")
    assert needs(bands, 0).network_gb == pytest.approx(64 * 501 * 64 * 6 * 4 / 1e9)


def test_data_is_what_an_epoch_holds() -> None:
    """DeepShip at 32 kHz is 501 frames of 64 mels in half precision: 2.2 GB."""
    assert needs(BASE, DEEPSHIP_CLIPS).data_gb == pytest.approx(33_770 * 501 * 64 * 2 / 1e9)


def test_on_cpus_the_host_holds_everything() -> None:
    """A trial has one core, no GPU, and memory for the worker, its data and its network."""
    assert resources(Needs(1, 1), LAPTOP, Asked()) == {"CPU": 1, "memory": 4e9}


def test_no_share_is_more_than_a_node_has() -> None:
    """Otherwise a trial would wait for ever."""
    assert resources(Needs(50, 50), LAPTOP, Asked())["memory"] == 10e9
    assert resources(Needs(50, 50), CLUSTER, Asked())["GPU"] == 1


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_a_gpu_is_shared_by_those_that_fit(fraction: float) -> None:
    """A need of just a quarter gets a quarter, and a little more gets half."""
    fits = fraction * 24 - 1.5
    assert resources(Needs(0, fits), CLUSTER, Asked())["GPU"] == fraction
    assert resources(Needs(0, fits + 0.1), CLUSTER, Asked())["GPU"] == min(1, 2 * fraction)


def test_a_larger_gpu_takes_more_trials() -> None:
    """The rule follows the memory that the user names."""
    assert resources(Needs(5, 5), CLUSTER, Asked(gpu_memory_gb=140))["GPU"] == 0.125


def test_what_the_user_asks_counts() -> None:
    """That is a share, cores, and the kind of GPU."""
    asked = Asked(cpus_per_trial=4, gpus_per_trial=0.2, accelerator="H100")
    share = resources(Needs(5, 5), CLUSTER, asked)
    assert share == {"CPU": 4, "GPU": 0.2, "memory": 2e9, "accelerator_type:H100": 0.001}


@pytest.mark.parametrize("num_gpus", [1, 2, 4])
def test_whole_gpus_come_with_cores_and_memory_for_their_processes(num_gpus: int) -> None:
    """Each GPU has its own process on the host."""
    share = resources(Needs(5, 5), CLUSTER, Asked(cpus_per_trial=3, gpus_per_trial=num_gpus))
    assert share == {"CPU": 3 * num_gpus, "GPU": num_gpus, "memory": {1: 2e9, 2: 4e9, 4: 8e9}[num_gpus]}


def test_a_trial_stays_on_one_node() -> None:
    """It has no more GPUs than the largest node, or it could never start."""
    asked = Asked(gpus_per_trial=4)
    assert resources(Needs(5, 5), dataclasses.replace(CLUSTER, most_gpus=2), asked)["GPU"] == 2
    assert resources(Needs(5, 5), dataclasses.replace(CLUSTER, most_gpus=8), asked)["GPU"] == 4


def test_the_study_has_few_different_shares() -> None:
    """Workers are reused only for trials with the same share."""
    shares = {str(resources(needs(t, DEEPSHIP_CLIPS), CLUSTER, Asked())) for t in SWEEP.trials}
    assert len(shares) <= len(FRACTIONS)


def test_room_is_for_the_smallest_shares() -> None:
    """At most eight eighths of each GPU and one trial per core fit; there is always room for one."""
    eighth, whole_gpu = {"CPU": 1.0, "GPU": 0.125}, {"CPU": 1.0, "GPU": 1.0}
    assert room([eighth, whole_gpu], {"CPU": 100, "GPU": 8}) == 64
    assert room([eighth, whole_gpu], {"CPU": 16, "GPU": 8}) == 16
    assert room([whole_gpu], {"CPU": 16}) == 1
