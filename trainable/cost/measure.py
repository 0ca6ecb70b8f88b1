"""Measures the cost of a cell's trials on the device of this process: their real steps, on clips of random numbers.

Time and memory depend on the number and shape of the clips but not on their sound, so no audio is needed.
"""

from __future__ import annotations

import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from trainable import examples, finetune
from trainable.cost.cost import Measured
from trainable.device.place import Place
from trainable.examples import Examples, Scale
from trainable.network import linear
from trainable.trial import ready_network

if TYPE_CHECKING:
    from trainable.config import TrialConfig
    from trainable.learning.learner import Learner
    from trainable.network.backbone import Backbone

Clock = Callable[[], float]
NUM_CLASSES = 4
ROUNDS = 5  # the median lies between the least and the greatest of five in 94 of 100 cases, for any distribution
ROUND_S = 0.3  # a round takes about this long at least, unless MAX_STEPS ends it
LIMIT_S = 20.0  # no further round begins after this time
MAX_STEPS = 16  # in a round
MAX_CLIP_BYTES = 2**28


def measure(config: TrialConfig, num_threads: int, folder: Path) -> Measured:
    """Measures a cell.

    Args:
        folder: a folder on the disk to which checkpoints are written.

    Raises:
        torch.OutOfMemoryError: if the device has no room for a batch.
    """
    torch.set_num_threads(num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    clock = time.process_time if device.type == "cpu" and num_threads == 1 else time.perf_counter
    clips = random_examples(config, MAX_STEPS * _drawn(config), device)
    before_gb = _held_gb(device)
    with tempfile.TemporaryDirectory(dir=folder, prefix="measure-") as name:
        place = Path(name)
        start = Place(Path(), Path(), None, place, num_threads)
        first_s, build_s = (_seconds(lambda _: ready_network(config, start, NUM_CLASSES, clips), 1) for _ in range(2))
        network = ready_network(config, start, NUM_CLASSES, clips)
        began_s, worked_s = time.perf_counter(), clock()
        embed_s = embed_seconds(config, network, clips, clock)
        part, clips = trained_part(config, network, clips)
        learner, _ = finetune.take_up(config, part, place)
        step_s = rounds(steps(learner, clips), len(clips.labels) // _drawn(config), clock)
        eval_s = evaluations(config, part, clips, clock)
        load = (time.perf_counter() - began_s) / (clock() - worked_s)
        peak_gb = max(0.0, _peak_gb(device) - before_gb)
        epoch = {"epoch": 1.0, **{f"val_{score.name}": 0.0 for score in config.scores}}  # any values, for a checkpoint
        save_s = _seconds(lambda _: finetune.save(place, learner, [epoch]), 1)
    return Measured(
        step_s=step_s,
        eval_s=eval_s,
        load_s=load_seconds(config, device, clock) + embed_s,
        save_s=save_s,
        build_s=build_s,
        start_s=first_s - build_s,
        peak_gb=peak_gb,
        load=load,
    )


def embed_seconds(config: TrialConfig, network: Backbone, clips: Examples, clock: Clock) -> float:
    """Seconds of one clip's embedding if it is made once; 0 if every epoch makes it."""
    return statistics.median(evaluations(config, network, clips, clock)) if config.trained.embeds else 0.0


def trained_part(config: TrialConfig, network: Backbone, clips: Examples) -> tuple[Backbone, Examples]:
    """The network that the epochs train, and its clips; for a linear probe, embeddings of noise that cost nothing."""
    if not config.trained.embeds:
        return network, clips
    size = (len(clips.labels), network.classifier.in_features)
    return linear.LinearProbe(network), replace(clips, inputs=torch.randn(size, device=clips.labels.device), scale=None)


def steps(learner: Learner, clips: Examples) -> Callable[[int], float]:
    """A function that makes a given number of training steps."""

    def train(num_steps: int) -> float:
        some = clips.first(num_steps * _drawn(learner.config))
        terms = finetune.train_epoch(learner, some, epoch=1)
        return sum(float(losses.sum()) for losses in terms.values())  # waits for the device

    return train


def evaluations(config: TrialConfig, network: Backbone, clips: Examples, clock: Clock) -> tuple[float, ...]:
    """Seconds of predicting a clip, for each round, with batches as large as in a trial."""
    chunk = max(1, finetune.FRAMES_AT_ONCE[clips.labels.device.type] // config.num_frames)
    chunk = min(chunk, len(clips.labels))

    def predict(num_chunks: int) -> float:
        return float(finetune.predict(network, clips.first(num_chunks * chunk), config).sum())

    return tuple(seconds / chunk for seconds in rounds(predict, len(clips.labels) // chunk, clock))


def random_examples(config: TrialConfig, num_clips: int, device: torch.device) -> Examples:
    """Clips of the trial's shape with noise at the level of ships; fewer than `num_clips` if memory would be short."""
    random = torch.Generator(device).manual_seed(0)
    shape, dtype = config.given.shape(config), getattr(torch, config.given.dtype)
    least = 2 * config.batch
    num_clips = max(least, min(num_clips, MAX_CLIP_BYTES // (2 * int(np.prod(shape)))))
    inputs = torch.empty(num_clips, *shape, dtype=dtype, device=device)
    if config.given.waves:
        inputs.random_(-10_000, 10_000, generator=random)
    else:
        inputs.normal_(-30, 7.6, generator=random)
    labels = torch.arange(num_clips, device=device) % NUM_CLASSES
    none = np.zeros(num_clips, dtype=int)
    return Examples(inputs, labels, none, none, Scale(0.0, 1 / 32767) if config.given.waves else None)


def rounds(work: Callable[[int], object], most: int, clock: Clock) -> tuple[float, ...]:
    """Seconds of one unit of `work`, for each of a few rounds of several units, after one unit to warm up.

    Args:
        work: does a given number of units.
        most: maximum number of units in a round.
        clock: the clock of the returned seconds; the limits apply to wall time.
    """
    began = time.perf_counter()
    first_s = _seconds(work, 1, clock)
    if time.perf_counter() - began < LIMIT_S / 2:  # the first is slower: it allocates memory and chooses kernels
        first_s = _seconds(work, 1, clock)
    num = max(1, min(most, MAX_STEPS, round(ROUND_S / max(first_s, 1e-6))))
    unit_s = [first_s] if num == 1 else []
    while len(unit_s) < ROUNDS and (not unit_s or time.perf_counter() - began < LIMIT_S):
        unit_s.append(_seconds(work, num, clock) / num)
    return tuple(unit_s)


def load_seconds(config: TrialConfig, device: torch.device, clock: Clock) -> float:
    """Seconds of turning one clip into an input before the first epoch; 0 for a waveform."""
    num = min(examples.CLIPS_AT_ONCE, max(1, 2**22 // config.num_samples))
    wave = torch.randint(-10_000, 10_000, (num, config.num_samples), dtype=torch.int16, device=device)
    scale = Scale(0.0, 1 / 32767)

    def make(_: int) -> float:
        return float(config.given.made(wave, config, scale).sum())  # waits for the device

    return statistics.median(_seconds(make, 1, clock) for _ in range(3)) / num if not config.given.waves else 0.0


def _drawn(config: TrialConfig) -> int:
    """The number of clips in a step."""
    return config.batch * config.clips_per_sample


def _seconds(work: Callable[[int], object], num: int, clock: Clock = time.perf_counter) -> float:
    began = clock()
    work(num)
    return clock() - began


def _held_gb(device: torch.device) -> float:
    """The memory of this process on the device [GB]."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / 1e9
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e9


def _peak_gb(device: torch.device) -> float:
    """The peak memory of this process on the device so far [GB]."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
