"""Scores of logits, which a trial reports. Everything else is computed later from its stored predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Int, Shaped

LEAST_LOG = -745.0  # the logarithm of the smallest double


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
    return float(np.mean(recording_hits(logits, labels, recording)))


def recording_hits(
    logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
) -> Float[np.ndarray, " recordings"]:
    """For each recording, sorted by name, 1 if its label has the largest mean probability over its clips, else 0."""
    _, first, member = np.unique(recording, return_index=True, return_inverse=True)
    total = np.zeros((len(first), logits.shape[1]))
    np.add.at(total, member, shares(logits))
    is_hit: np.ndarray = (total.argmax(axis=1) == labels[first]).astype(np.float64)
    return is_hit


def as_recordings(
    logits: Float[np.ndarray, "clips classes"], labels: Int[np.ndarray, " clips"], recording: np.ndarray
) -> tuple[Float[np.ndarray, "recordings classes"], Int[np.ndarray, " recordings"], np.ndarray]:
    """Each recording as if it were one clip: the logarithms of its mean probabilities, its label, and its name.

    The label is that of its first clip.
    """
    names, first, member = np.unique(recording, return_index=True, return_inverse=True)
    total = np.zeros((len(first), logits.shape[1]))
    np.add.at(total, member, shares(logits))
    means = total / np.bincount(member)[:, np.newaxis]
    with np.errstate(divide="ignore"):  # a probability that is rounded to zero
        return np.maximum(np.log(means), LEAST_LOG), labels[first], names


def shares(logits: Float[np.ndarray, "clips classes"]) -> Float[np.ndarray, "clips classes"]:
    """The probabilities of the classes: the softmax of the logits, in double precision."""
    result: np.ndarray = np.exp(log_softmax(logits))
    return result


def sums(values: Shaped[np.ndarray, "clips columns"], where: np.ndarray) -> Float[np.ndarray, "recordings columns"]:
    """The sums of some columns over the clips of each recording.

    Args:
        where: the number of each clip's recording, counted from 0.
    """
    order = np.argsort(where, kind="stable")
    starts = np.searchsorted(where[order], np.arange(where.max() + 1))
    total: np.ndarray = np.add.reduceat(values[order].astype(np.float64), starts, axis=0)
    return total


def ratio(part: Float[np.ndarray, "*shape"], whole: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """`part` by `whole`, and 0 where `whole` is 0."""
    result: np.ndarray = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return result


def mean_of_counted(
    part: Float[np.ndarray, "draws classes"], whole: Float[np.ndarray, "draws classes"], otherwise: float = 0.0
) -> Float[np.ndarray, " draws"]:
    """The mean of `part` by `whole` over the classes whose `whole` is above 0; `otherwise` where there are none."""
    num_counted = (whole > 0).sum(axis=1)
    mean: np.ndarray = ratio(part, whole).sum(axis=1) / np.maximum(num_counted, 1)
    return np.where(num_counted > 0, mean, otherwise)


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
