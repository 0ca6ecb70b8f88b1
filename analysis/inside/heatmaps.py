"""Grad-CAM of a trained network: maps of every test clip for the predicted class, and averages over clips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

import sweeps.engine.store.drawing  # noqa: F401 - before captum, which loads matplotlib
from analysis.engine.rows import Predictions
from analysis.inside.attention import MEASURES
from trainable.finetune import FRAMES_AT_ONCE, arithmetic
from trainable.network.card import BackboneError
from trainable.network.frontend import logmel
from trainable.network.networks import laid_out, start_network
from trainable.weights import pretrained

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.examples import Examples
    from trainable.network.backbone import Backbone

# Logits of a clip that differ by less than this share of their spread are a tie: rounding depends on the device, the
# number of threads, and the number of clips in a batch.
TIE = {"float32": 0.01, "bfloat16": 0.05}


@dataclass(frozen=True)
class Trained:
    """A finished trial, with its checkpoint and its predictions for the test clips."""

    trial: TrialConfig
    run_id: str
    checkpoint: Path
    predictions: Predictions


@dataclass(frozen=True)
class Seen:
    """The maps of some clips by one trained network."""

    maps: Float32[
        np.ndarray, "clips frames mels"
    ]  # the largest value is 1; all are 0 where no evidence for the class is found
    label: Int[np.ndarray, " clips"]
    predicted: Int[np.ndarray, " clips"]
    recording: np.ndarray


@dataclass(frozen=True)
class Averages:
    """The mean maps of one network over clips and seeds, and the measures of every map.

    The first axis is right (0) or wrong (1); the second is the predicted class, which is the true one for a right clip.
    """

    mean: Float[np.ndarray, "2 classes frames mels"]  # NaN where there is no map
    count: Int[np.ndarray, "2 classes"]  # the number of maps in each mean
    samples: pd.DataFrame  # a row per clip and seed: recording, right, and the `MEASURES` (NaN for a map of zeros)


def map_size(trial: TrialConfig) -> tuple[int, ...]:
    """The frames of a network's last map, and its bands if it has frequencies; nothing is computed to find them.

    Raises:
        BackboneError: if the last features are not a map (batch, channels, frames, *bands), as with transformers.
    """
    network = start_network(trial, 2, None).to("meta").eval()
    sizes: list[torch.Size] = []
    network.last_features.register_forward_hook(lambda layer, inputs, features: sizes.append(features.shape))
    network(torch.empty(1, *trial.given.shape(trial), device="meta"))
    (shape,) = sizes
    channels_last = getattr(getattr(network, "trunk", None), "output_fmt", "NCHW") != "NCHW"  # as timm marks them
    if len(shape) != (4 if trial.given.spectrogram else 3) or channels_last:
        raise BackboneError(
            f"backbone={trial.backbone!r}: its last features are {tuple(shape)}, tokens rather than a map over time "
            "and frequency, so it has no Grad-CAM; choose a convolutional network with --backbones"
        )
    return tuple(shape[2:])


def grad_cam(
    network: Backbone, x: Float[Tensor, "batch ..."], target: Int[Tensor, " batch"]
) -> tuple[Float[Tensor, "batch frames *bands"], Float[Tensor, "batch classes"]]:
    """The evidence for the class `target` in the last map, and the logits.

    Source:
        Selvaraju et al. 2017, Eqs. (1) and (2): the sum of the channels, each weighted by the mean gradient of the
        logit, clipped at 0; computed by captum.
    """
    from captum.attr import LayerGradCam

    logits: list[Tensor] = []

    def forward(x: Tensor) -> Tensor:
        logits.append(network(x))
        return logits[0]

    cam = LayerGradCam(forward, network.last_features).attribute(x, target=target, relu_attributions=True)
    return cam.detach().squeeze(1), logits[0].detach()


def over_input(
    cam: Float[Tensor, "batch rows *columns"], logmel_shape: tuple[int, int]
) -> Float[Tensor, "batch frames mels"]:
    """Maps interpolated to the log-mel, each divided by its maximum; a map over time is constant over frequency."""
    from captum.attr import LayerAttribution

    planes = cam if cam.ndim == 3 else cam.unsqueeze(2)
    maps = LayerAttribution.interpolate(planes.unsqueeze(1), logmel_shape, "bilinear").squeeze(1)
    peak = maps.amax(dim=(1, 2), keepdim=True)
    return maps / peak.where(peak > 0, 1)


def maps_of(trained: Trained, test: Examples, chosen: Int[np.ndarray, " chosen"]) -> Iterator[Seen]:
    """Yields the maps of the `chosen` test clips by the trained network, some clips at a time.

    Raises:
        WrongWeights: if the checkpoint is of another network.
        ValueError: if the clips are not those of the trial's test, or the network now predicts something else.
    """
    stored, device, trial = trained.predictions, test.labels.device, trained.trial
    _check_clips(trained, test)
    network = start_network(trial, len(stored.classes), None)
    pretrained.load(network, trained.checkpoint, trial.card.front_end)
    # Without gradients for the weights, the backward pass covers only the layers after the map.
    network = laid_out(network.requires_grad_(False).eval(), trial, device)
    at_once = max(1, FRAMES_AT_ONCE[device.type] // trial.num_frames)
    for start in range(0, len(chosen), at_once):
        batch = chosen[start : start + at_once]
        predicted = stored.logits[batch].argmax(axis=1)
        target = torch.from_numpy(predicted).to(device)
        with arithmetic(trial, device):
            cam, logits = grad_cam(network, test.batch(torch.from_numpy(batch).to(device)), target)
        _check_logits(trained, batch, logits.float().cpu().numpy())
        maps = over_input(cam.float(), trial.logmel_shape).cpu().numpy()
        yield Seen(maps, stored.labels[batch], predicted, stored.recording[batch])


def average(batches: Iterable[Seen], num_classes: int) -> Averages:
    """The mean of right maps per true class and of wrong maps per predicted class; maps of zeros are left out."""
    total: np.ndarray | float = 0.0
    count, measured = np.zeros((2, num_classes), dtype=np.int64), []
    for seen in batches:
        nonzero = seen.maps.any(axis=(1, 2))
        wrong = (seen.predicted != seen.label).astype(np.int64)
        places = wrong[nonzero], seen.predicted[nonzero]
        summed = np.zeros((2, num_classes, *seen.maps.shape[1:]))
        np.add.at(summed, places, seen.maps[nonzero])
        np.add.at(count, places, 1)
        total = total + summed
        values = {name: np.where(nonzero, measure(seen.maps), np.nan) for name, measure in MEASURES.items()}
        measured.append(pd.DataFrame({"recording": seen.recording, "right": wrong == 0, **values}))
    mean = total / np.where(count, count, np.nan)[:, :, None, None]
    return Averages(mean, count, pd.concat(measured, ignore_index=True))


def mean_logmels(
    trial: TrialConfig, test: Examples, chosen: Int[np.ndarray, " chosen"], num_classes: int
) -> Float[np.ndarray, "classes frames mels"]:
    """The mean log-mel [dB] of the chosen clips of each class, whatever the network's input; NaN without clips."""
    labels = test.labels.cpu().numpy()
    total, count = np.zeros((num_classes, *trial.logmel_shape)), np.zeros(num_classes)
    for batch in np.array_split(chosen, -(-len(chosen) // 64)):
        x = test.batch(torch.from_numpy(batch).to(test.labels.device))
        x = logmel(x, trial.card.front_end) if trial.given.waves else x
        np.add.at(total, labels[batch], trial.card.front_end.decibels(x.cpu().numpy()))
        np.add.at(count, labels[batch], 1)
    mean: np.ndarray = total / np.where(count, count, np.nan)[:, None, None]
    return mean


def evenly_spread(labels: Int[np.ndarray, " clips"], clips_per_class: int | None) -> Int[np.ndarray, " chosen"]:
    """The indices of `clips_per_class` clips of each class, evenly spaced from the first to the last; None for all."""
    if clips_per_class is None:
        return np.arange(len(labels))
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    steps = [
        np.linspace(0, len(places) - 1, min(clips_per_class, len(places))).round().astype(int) for places in members
    ]
    return np.sort(np.concatenate([places[step] for places, step in zip(members, steps, strict=True)]))


def _check_clips(trained: Trained, test: Examples) -> None:
    stored, labels = trained.predictions, test.labels.cpu().numpy()
    pairs = ((test.recording, stored.recording), (test.number, stored.clip), (labels, stored.labels))
    if not all(np.array_equal(ours, theirs) for ours, theirs in pairs):
        raise ValueError(
            f"run {trained.run_id} ({trained.trial.key}): the {len(stored.labels)} clips of predictions.npz are not "
            f"the {len(labels)} test clips here; delete the run from the store and run the sweep again"
        )


def _check_logits(trained: Trained, batch: Int[np.ndarray, " some"], logits: Float[np.ndarray, "some classes"]) -> None:
    stored, row = trained.predictions.logits[batch], np.arange(len(batch))
    behind = stored.max(axis=1) - stored[row, logits.argmax(axis=1)]
    differs = np.flatnonzero(~(behind <= TIE[trained.trial.precision] * np.ptp(stored, axis=1)))
    if len(differs):
        clip = batch[differs[0]]
        raise ValueError(
            f"run {trained.run_id} ({trained.trial.key}): {trained.checkpoint} predicts another class for clip "
            f"{trained.predictions.clip[clip]} of recording {trained.predictions.recording[clip]} than the run's "
            "predictions.npz; restore the run's own checkpoint, or delete the run from the store and run the sweep "
            "again"
        )
