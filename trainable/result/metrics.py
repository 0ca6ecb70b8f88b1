"""Scores of logits, which a trial reports. Everything else is computed later from its stored predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int


class NotFinite(FloatingPointError):
    """A loss that is NaN or infinite; the message names the epoch and the step at which this happened first."""


def hits(logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]) -> Float[np.ndarray, " clips"]:
    """For each clip, 1 if the largest logit is the label's, else 0."""
    is_hit: np.ndarray = (logits.argmax(axis=1) == labels).astype(np.float64)
    return is_hit


def accuracy(logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]) -> float:
    """The share of clips whose largest logit is the label's."""
    return float(np.mean(hits(logits, labels)))


def costs(logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]) -> Float[np.ndarray, " clips"]:
    """Negative log-likelihood of each clip's label [nat]."""
    cost: np.ndarray = -log_softmax(logits)[np.arange(len(labels)), labels]
    return cost


def cross_entropy(logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"]) -> float:
    """Mean negative log-likelihood of the labels [nat]."""
    return float(np.mean(costs(logits, labels)))


def recording_accuracy(
    logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
) -> float:
    """The share of recordings whose label has the largest mean probability over their clips."""
    _, first, member = np.unique(recording, return_index=True, return_inverse=True)
    total = np.zeros((len(first), logits.shape[1]))
    np.add.at(total, member, np.exp(log_softmax(logits)))
    return float(np.mean(total.argmax(axis=1) == labels[first]))


def log_softmax(logits: Float[np.ndarray, "clips classes"]) -> Float[np.ndarray, "clips classes"]:
    """The logarithms of the probabilities, in double precision."""
    shifted = logits.astype(np.float64) - logits.max(axis=1, keepdims=True)
    result: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def mean_loss(losses: Float32[np.ndarray, " steps"], epoch: int) -> float:
    """The mean over the steps of an epoch.

    Raises:
        NotFinite: naming the first step whose loss is not finite.
    """
    values = losses.astype(np.float64)
    if not np.isfinite(values).all():
        step = int(np.flatnonzero(~np.isfinite(values))[0])
        raise NotFinite(
            f"the training loss is {values[step]} in epoch {epoch}, step {step + 1} of {len(values)}; lower lr"
        )
    return float(values.mean())
