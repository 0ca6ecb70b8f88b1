"""Draws every class equally often, however many clips it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from datasets.engine.corpus import shown
from datasets.engine.words.suggest import did_you_mean
from trainable.learning.part import Part

if TYPE_CHECKING:
    import torch
    from jaxtyping import Int64
    from torch import Tensor

    from trainable.config import TrialConfig
    from trainable.examples import Examples

TURNS = ("fixed", "shuffled")


@dataclass(frozen=True)
class Balanced(Part):
    """Draws as many clips per epoch as there are, the classes in turn; the clips of a small class appear several times.

    Each class goes through all of its clips in random order before any is repeated. A batch with as many samples as
    there are classes has one sample of each.

    In a fixed order of classes, mixup mixes each class with few others: of four classes, the first with the second and
    the third with the fourth, and never otherwise. With `turns="shuffled"` the order of the classes is new in each
    round, so that every class is mixed with every other.

    Source:
        Kong et al. 2020 (PANNs), section VI.B. Pellegrini 2021 shuffles the turns, and goes on through the clips of a
        class where an epoch ends here; within an epoch, its counts and its pairs are those of `turns="shuffled"`.
    """

    turns: str = "fixed"  # or "shuffled"

    def check(self, config: TrialConfig) -> None:
        """Refuses another order of the classes.

        Raises:
            ValueError: naming the field, the value and the remedy.
        """
        if self.turns not in TURNS:
            near = did_you_mean(TURNS, self.turns)
            raise ValueError(f"sampler.turns={shown(self.turns)}: choose one of {', '.join(TURNS)}{near}")

    def order(self, clips: Examples, random: torch.Generator) -> Int64[Tensor, " drawn"]:
        """The indices of an epoch's clips, in order, on the CPU.

        Args:
            clips: the training clips.
            random: a CPU generator for this epoch.
        """
        import torch

        labels = clips.labels.cpu()
        classes = labels.unique()
        num_each = -(-len(labels) // len(classes))  # rounded up
        columns = []
        for label in classes:
            members = (labels == label).nonzero().flatten()
            rounds = [
                members[torch.randperm(len(members), generator=random)] for _ in range(-(-num_each // len(members)))
            ]
            columns.append(torch.cat(rounds)[:num_each])
        one_of_each = torch.stack(columns, dim=1)
        if self.turns == "shuffled":
            turns = torch.rand(one_of_each.shape, generator=random).argsort(dim=1)
            one_of_each = one_of_each.gather(1, turns)
        return one_of_each.flatten()[: len(labels)]
