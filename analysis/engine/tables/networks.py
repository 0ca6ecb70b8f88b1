"""Facts about networks: the name of a pre-trained one, and the columns of a ranking of backbones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.engine.tables.ranking import Column
from trainable.config import TrialConfig
from trainable.network.card import family, module

if TYPE_CHECKING:
    from analysis.engine.tables.ranking import Ranked


def model(backbone: str, pretrain_hz: int) -> str:
    """The name of a network that was pre-trained at a rate, such as CNN14_8k."""
    name = backbone if "/" in backbone else backbone.upper()
    return f"{name}_{pretrain_hz / 1000:g}k"


def kind(trial: TrialConfig) -> str:
    """The type of a network: PANN, TIMM, ..."""
    title: str = getattr(module(trial.backbone), "TITLE", family(trial.backbone).upper())
    return title


def pretrained_on(trial: TrialConfig) -> str:
    """The source of the weights."""
    if trial.weights == "published":
        return trial.card.passport.pretrained_on
    return "nothing" if trial.weights == "none" else trial.weights.replace(":", " ")


def checkpoint(trial: TrialConfig) -> str:
    """The published checkpoint file or its repository; empty if none was used."""
    passport = trial.card.passport
    return (passport.hub_id or passport.file) if trial.weights == "published" else ""


def count(number: int | None) -> str:
    """A number of parameters to three digits, such as 79.7 M; an en dash if it is unknown."""
    if number is None:
        return "–"
    scale, unit = (1_000_000, "M") if number >= 999_500 else (1_000, "k")
    digits = 3 - len(f"{number / scale:.0f}")
    return f"{number / scale:.{digits}f} {unit}"


def _parameters(row: Ranked) -> str:
    return count(row.num_parameters)


NETWORK = (
    Column("type", "Type", lambda row: kind(row.trial), groups=True),
    Column("pretrained_on", "Pre-trained on", lambda row: pretrained_on(row.trial), tells="weights"),
    Column("checkpoint", "Checkpoint", lambda row: checkpoint(row.trial), origin=True),
    Column(
        "num_parameters",
        "Parameters",
        lambda row: row.num_parameters,
        words=_parameters,
        axis="trained parameters",
        caption="Parameters: the number trained, including the new classifier.",
    ),
)
