"""A claim: a statement of a paper as data. A study's file in `analysis/` lists them beside its published numbers.

Claim("ImageNet networks are slightly better than audio networks", "abstract", better=fam("timm"), than=fam("panns"))
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from datasets.engine.words.suggest import did_you_mean
from trainable.config import FIELDS
from trainable.learning.settings import is_known
from trainable.network.card import family

FAMILY = "family"  # of a backbone: selects as a field does
Relation = Literal["better", "best", "equal"]


@dataclass(frozen=True)
class Those:
    """The settings of a study that have certain values.

    Raises:
        ValueError: if there is no such field.
    """

    values: Mapping[str, Collection[Any]] = field(default_factory=dict)  # none: all settings

    def __post_init__(self) -> None:
        for name in self.values:
            if name != FAMILY and not is_known(name):
                raise ValueError(f"a claim about {name!r}: TrialConfig has no such field{did_you_mean(FIELDS, name)}")

    def take(self, get: Callable[[str], Any]) -> bool:
        """Whether a setting is one of them.

        Args:
            get: the setting's value of a field.
        """
        return all(
            (family(get("backbone")) if name == FAMILY else get(name)) in wanted for name, wanted in self.values.items()
        )


def those(**values: Any) -> Those:
    """The settings with these values: one for a field, or a tuple of several."""
    return Those({name: value if isinstance(value, tuple) else (value,) for name, value in values.items()})


def fam(*families: str) -> Those:
    """The settings whose backbone is of one of these families of `trainable/backbones/`."""
    return Those({FAMILY: families})


ALL = Those()


@dataclass(frozen=True)
class Claim:
    """A statement on the scores of some settings against others; each side is the mean over its settings.

    Raises:
        ValueError: if the relation is unknown, or settings are to be equal without a margin.
    """

    text: str
    where: str  # its place in the paper
    better: Those
    than: Those = ALL  # less those of `better`
    relation: Relation = "better"  # "best": than each of the others; "equal": within the margin
    margin: float = 0.0  # of the score, as a fraction: better by more than that, or equal within it
    of_class: str = ""  # on the test clips of one class alone

    def __post_init__(self) -> None:
        if self.relation not in ("better", "best", "equal"):
            raise ValueError(f"relation={self.relation!r}: a claim says better, best or equal")
        if self.margin < 0 or (self.relation == "equal" and not self.margin):
            raise ValueError(f"margin={self.margin:g}: settings are equal within a margin above 0")

    def sides(self, get: Callable[[str], Any]) -> tuple[bool, bool]:
        """Whether a setting is of the first side, and whether it is of the second."""
        first = self.better.take(get)
        return first, not first and self.than.take(get)
