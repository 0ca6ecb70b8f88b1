"""Fine-tunes one network on examples on its device, in one flat loop that reads from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from trainable.device import faults
from trainable.device.parallel import ALONE, Team
from trainable.device.watchdog import beat
from trainable.learning import augmentation
from trainable.learning.learner import ready_learner
from trainable.randomness import derive, generator, torch_seeded
from trainable.result.metrics import NotFinite, mean_loss
from trainable.result.usage import Meter
from trainable.weights import checkpoint

if TYPE_CHECKING:
    from jaxtyping import Float32, Int64
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.examples import Examples
    from trainable.learning.learner import Learner
    from trainable.learning.score import Score
    from trainable.network.backbone import Backbone

Row = dict[str, float]  # the numbers of one epoch
# Frames in a batch for prediction. On a CPU, batches that fit its cache are 1.2 to 2.3 times faster than 64 clips at
# once (benchmarks/network.py).
FRAMES_AT_ONCE = {"cpu": 4_000, "cuda": 128_000}


def finetune(
    config: TrialConfig,
    network: Backbone,
    train: Examples,
    validation: Examples,
    folder: Path,
    report: Callable[[Row], None],
    micro_batches: int = 1,
    team: Team = ALONE,
    gives_up: Callable[[list[Row]], bool] | None = None,
) -> list[Row]:
    """Trains `network` until validation no longer improves, and leaves it with the weights of the kept epoch.

    An interrupted trial continues after its last undamaged checkpoint in `folder`. On the CPU it ends with the same
    bits as one that was never interrupted, because all randomness follows from the seed and the epoch.

    Args:
        network: a network on the device of the examples, with a classifier for their classes.
        report: called once for every epoch, starting with those of earlier attempts.
        micro_batches: number of parts of a batch, whose gradients are added up, for a device that cannot hold a whole
            one; a batch normalisation then sees one part at a time.
        team: the devices that share the batches; this process leads them, and the others `take_part`.
        gives_up: decides, after every epoch, whether a trial of a search should stop.

    Returns:
        The numbers of every epoch.

    Raises:
        NotFinite: if a training or validation loss is NaN or infinite.
        LostDevice: if another device of the team is lost.

    Source:
        Mohammadi et al. 2024, section III, and their code where the text is silent (docs/fidelity.md).
    """
    device = train.labels.device
    learner, history = take_up(config, network, folder)
    for row in history:
        report(row)

    while len(history) < config.epochs and not has_stopped(history, config) and not (gives_up and gives_up(history)):
        epoch, began_s, meter = len(history) + 1, time.perf_counter(), Meter()
        team.begin(epoch)
        with dropout_of(config, epoch, device):
            losses = train_epoch(learner, train, epoch, micro_batches, team)
        logits, labels = predict(learner.average.network, validation, config), validation.labels.cpu().numpy()
        row = {
            "epoch": epoch,
            **curves(losses, epoch),
            **scored("val", [s for s in config.scores if s.each_epoch], logits, labels, validation.recording),
            "epoch_s": time.perf_counter() - began_s,
            "ended_unix_s": time.time(),
            **meter.read(),
        }
        if not_finite := [name for name, value in row.items() if name.startswith("val_") and not math.isfinite(value)]:
            fault = f"the validation {not_finite[0].removeprefix('val_')} is {row[not_finite[0]]}"
            raise NotFinite(f"{fault} after epoch {epoch}; lower lr ({config.lr:g})")
        faults.reach("epoch is trained")
        history.append(row)
        save(folder, learner, history)
        report(row)

    network.load_state_dict(checkpoint.load(checkpoint.best_file(folder, kept_epoch(history, config)), device)["model"])
    return history


def take_part(
    config: TrialConfig, network: Backbone, train: Examples, folder: Path, micro_batches: int, team: Team
) -> None:
    """Takes this device's share of the epochs that the leader of `team` trains with `finetune`, on the same clips."""
    learner, _ = take_up(config, network, folder)
    for epoch in team.epochs():
        with dropout_of(config, epoch, train.labels.device):
            train_epoch(learner, train, epoch, micro_batches, team)


def take_up(config: TrialConfig, network: Backbone, folder: Path) -> tuple[Learner, list[Row]]:
    """The learner of `network` and the history, from the last undamaged checkpoint or, without one, from the start."""
    learner = ready_learner(config, network)
    if not (state := checkpoint.latest(folder, network.classifier.weight.device)):
        return learner, []
    network.load_state_dict(state["model"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.average.load_state_dict(state["average"])
    return learner, state["history"]


@contextmanager
def dropout_of(config: TrialConfig, epoch: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's global random numbers for the epoch within the block, and restores them afterwards."""
    with torch_seeded(derive(config.seed, "dropout", epoch), device):
        yield


def train_epoch(
    learner: Learner, train: Examples, epoch: int, micro_batches: int = 1, team: Team = ALONE
) -> dict[str, Float32[Tensor, " steps"]]:
    """Trains one pass over the sampler's clips; their order and augmentations follow from the seed and the epoch.

    If an augmentation mixes clips, a step draws `clips_per_sample` times `batch` clips, as PANNs do; clips that do not
    fill a sample are left out of this epoch.

    Returns:
        The terms of the loss at every step, by name.
    """
    config, network = learner.config, learner.network
    device, num_classes = train.labels.device, network.classifier.out_features
    unit = config.clips_per_sample
    order = config.sampler.order(train, generator(config.seed, "order", epoch)).to(device)
    order = order[: len(order) - len(order) % unit]
    random = generator(config.seed, "augment", epoch, device=device)
    learner.begin(epoch)
    network.train()
    losses, names = [], list[str]()
    for drawn in batches(order, config.batch, unit):
        learner.optimizer.zero_grad()
        parts = []
        for part in split_batch(drawn, micro_batches, unit):
            changed = augmentation.draw(config, len(part), random)
            share = team.share(len(part) // unit)
            part, changed = part[share.rows(len(part))], share.of(changed)
            with share.as_one_batch(), arithmetic(config, device):
                logits = network(train.batch(part), changed).float()
            targets = changed.mix(F.one_hot(train.labels[part], num_classes).float())
            terms = learner.objective(logits, targets)
            names = list(terms)
            loss = torch.stack(list(terms.values())) * (share.num_counted * unit / len(drawn))
            loss.sum().backward()
            parts.append(loss.detach())  # read once per epoch, because a read here would make the device wait
        team.add_gradients(network)
        learner.step()
        beat()
        losses.append(torch.stack(parts).sum(dim=0))
    return dict(zip(names, team.add_up(torch.stack(losses)).unbind(dim=1), strict=True))


def curves(losses: dict[str, Float32[Tensor, " steps"]], epoch: int) -> Row:
    """The mean training loss of an epoch and, if it has several terms, the mean of each.

    Raises:
        NotFinite: naming the first step whose loss is not finite.
    """
    steps = {name: values.cpu().numpy() for name, values in losses.items()}
    total = mean_loss(np.sum(list(steps.values()), axis=0), epoch)
    by_term = {f"train_{name}": mean_loss(values, epoch) for name, values in steps.items()} if len(steps) > 1 else {}
    return {"train_loss": total, **by_term}


def batches(order: Int64[Tensor, " clips"], size: int, unit: int) -> list[Int64[Tensor, " batch"]]:
    """The epoch's batches of `size` samples; a single last sample joins the batch before it: batch norms need two.

    Args:
        unit: number of clips in a sample.
    """
    splits = list(order.split(size * unit))
    if len(splits) > 1 and len(splits[-1]) == unit < size * unit:
        splits[-2:] = [torch.cat(splits[-2:])]
    return splits


def split_batch(drawn: Int64[Tensor, " clips"], num_parts: int, unit: int) -> list[Int64[Tensor, " part"]]:
    """Parts of a batch, of about equal size and with at least two samples each, which batch normalisation needs.

    Args:
        unit: number of clips in a sample, which stay together.
    """
    samples = drawn.view(-1, unit)
    return [part.flatten() for part in samples.tensor_split(max(1, min(num_parts, len(samples) // 2)))]


@torch.inference_mode()
def predict(network: Backbone, examples: Examples, config: TrialConfig) -> Float32[np.ndarray, "clips classes"]:
    """The logits of every clip, with the network in evaluation mode."""
    network.eval()
    device = examples.labels.device
    num_clips, logits = max(1, FRAMES_AT_ONCE[device.type] // config.num_frames), []
    for start in range(0, len(examples.inputs), num_clips):
        beat()
        with arithmetic(config, device):
            logits.append(network(examples.batch(slice(start, start + num_clips))))
    return torch.cat(logits).float().cpu().numpy()


def arithmetic(config: TrialConfig, device: torch.device) -> torch.autocast:
    """A context in which convolutions and matrix products have the trial's precision; weights stay in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16")


def kept_epoch(history: list[Row], config: TrialConfig) -> int:
    """The epoch whose weights are kept: the first of the best by `keep_by`, or the last; 0 if there are none."""
    return len(history) if config.keep_by == "none" else _best(history, config.score(config.keep_by))


def has_stopped(history: list[Row], config: TrialConfig) -> bool:
    """Whether `stop_by` has not improved for `patience` epochs, if there is such a limit."""
    return 0 < config.patience <= len(history) - _best(history, config.score(config.stop_by))


def save(folder: Path, learner: Learner, history: list[Row]) -> None:
    """Writes the weights if they are the best, then the checkpoint of the epoch, and then removes older files."""
    config = learner.config
    epoch, best = len(history), kept_epoch(history, config)
    if best == epoch:
        scored = learner.average.network.state_dict()
        checkpoint.save(checkpoint.best_file(folder, best), {"model": scored, "epoch": best})
    faults.reach("best weights are written")
    holders = {"model": learner.network, "optimizer": learner.optimizer, "average": learner.average}
    states = {name: holder.state_dict() for name, holder in holders.items()}
    state = {**states, "history": history, "best_epoch": best}
    checkpoint.save(checkpoint.epoch_file(folder, epoch), state)
    # The previous epoch stays too, with its best weights, in case this one gets damaged.
    before = checkpoint.best_file(folder, kept_epoch(history[:-1], config))
    keep = {checkpoint.epoch_file(folder, epoch), checkpoint.epoch_file(folder, epoch - 1)}
    checkpoint.tidy(folder, keep | {checkpoint.best_file(folder, best), before})


def scored(
    prefix: str,
    scores: Iterable[Score],
    logits: Float32[np.ndarray, "clips classes"],
    labels: Int64[np.ndarray, " clips"],
    recording: np.ndarray,
) -> Row:
    """Each score of the clips, by its name with a prefix, such as `val_accuracy`."""
    return {f"{prefix}_{score.name}": score.of(logits, labels, recording) for score in scores}


def _best(history: list[Row], by: Score) -> int:
    if not history:
        return 0
    values = [row[f"val_{by.name}"] for row in history]
    return values.index(by.best(values)) + 1
