"""Parts of a trial: found by name, flat for outsiders, and the same however they are written."""

from __future__ import annotations

import dataclasses
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from sweeps.engine.command.options import parse_fields
from sweeps.engine.plan import grid
from sweeps.recipes.mohammadi import RATES
from trainable.augmentations.mixup import Mixup
from trainable.augmentations.specaugment import SpecAugment
from trainable.averages.none import NoAverage
from trainable.config import FIELDS, SLOTS, TrialConfig
from trainable.examples import Examples
from trainable.learning.part import ROOT, Part, part_class
from trainable.objectives.binary_cross_entropy import BinaryCrossEntropy
from trainable.objectives.cross_entropy import CrossEntropy
from trainable.samplers.balanced import Balanced
from trainable.samplers.shuffled import Shuffled
from trainable.schedules.constant import Constant
from trainable.schedules.steps import Steps

BASE = RATES
FILES = [(slot, folder, path.stem) for slot, folder, _ in SLOTS for path in (ROOT / folder).glob("[a-z]*.py")]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips_of(labels: torch.Tensor) -> Examples:
    """Clips with labels but without sound."""
    none = np.zeros(len(labels), dtype=int)
    return Examples(torch.zeros(len(labels), 1), labels, none, none)


@pytest.mark.parametrize(("slot", "folder", "name"), FILES)
def test_a_name_is_a_module(slot: str, folder: str, name: str) -> None:
    """Every file in a slot's folder is a part of that name, with a docstring and defaults."""
    part = part_class(slot, folder, name)()
    assert part.name == str(part) == name
    assert type(part).__doc__
    assert part.settings() == {}


@pytest.mark.parametrize("slot", [slot for slot, _, _ in SLOTS if FIELDS[slot].default is not dataclasses.MISSING])
def test_a_default_is_in_one_form(slot: str) -> None:
    """Defaults have the form of `to_dict`, or they would change the key."""
    assert BASE[slot] == FIELDS[slot].default


def test_a_slot_takes_a_name_or_a_part() -> None:
    """Both make the same trial; a part of another slot is refused."""
    assert dataclasses.replace(BASE, sampler=Balanced()) == dataclasses.replace(BASE, sampler="balanced")
    with pytest.raises(ValueError, match="schedule=Shuffled"):
        dataclasses.replace(BASE, schedule=Shuffled())


@pytest.mark.parametrize("words", ["mixup+specaugment", [Mixup(), SpecAugment()], ("mixup", "specaugment")])
def test_augmentations_are_a_set(words: Any) -> None:
    """In any order they are the same trial, and masks come before mixtures."""
    same = dataclasses.replace(BASE, augment=words)
    assert (same, same.key, same["augment"]) == (BASE, BASE.key, "specaugment+mixup")
    assert [part.name for part in same.augment] == ["specaugment", "mixup"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sampler": "shufled"}, "sampler='shufled': choose one of .*shuffled"),
        ({"objective": "../x"}, "objective='../x': choose one of .*cross_entropy"),
        ({"trained": 3}, "trained=3: choose one of .*everything"),
        ({"augment": "mixup+mixup"}, r"augment=mixup\+mixup: a part is named twice; name each once"),
        ({"augment": 3}, r"augment=3: write names with \+ between them, or none"),
        ({"schedule.nosuch": 1}, "schedule.nosuch: constant has no such setting; it has none"),
        ({"schedule": "steps", "schedule.drop": "x"}, "schedule.drop='x': must be of type float"),
        ({"schedule": "steps"}, "schedule.after='': write epochs after which lr drops, such as 30,45"),
        (
            {"schedule": "steps", "schedule.after": "9,3"},
            "schedule.after='9,3': write each epoch once, in rising order",
        ),
        ({"schedule": Steps(after="3", drop=2)}, "schedule.drop=2: must be above 0 and below 1"),
        ({"augment.specaugment.mels": 0}, "augment.specaugment.mels=0: must be at least 1"),
        ({"augment": "mixup", "augment.specaugment.mels": 4}, "augment.specaugment: augment=mixup has no such part"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], message: str) -> None:
    """The error names the field, the value and the remedy."""
    with pytest.raises(ValueError, match=message):
        BASE.but(**fields)


class TestFlat:
    TRIAL = BASE.but(schedule=Steps(after="30,45"), **{"augment.specaugment.frames": 16})

    def test_settings_stand_beside_their_part(self) -> None:
        """Settings that are not the default appear with a dot; the others only on request."""
        fields = self.TRIAL.to_dict()
        assert fields["schedule"] == "steps"
        assert fields["schedule.after"] == "30,45"
        assert fields["augment.specaugment.frames"] == 16
        assert "schedule.drop" not in fields
        assert self.TRIAL["schedule.drop"] == 0.1

    def test_the_way_back(self) -> None:
        """The store's fields give back the trial, also as text."""
        assert TrialConfig.of(self.TRIAL.to_dict()) == self.TRIAL
        assert TrialConfig.of({name: str(value) for name, value in self.TRIAL.to_dict().items()}) == self.TRIAL
        with pytest.raises(TypeError, match=r"nosuch\.field"):
            TrialConfig.of({**BASE.to_dict(), "nosuch.field": 1})

    def test_settings_count_for_the_key(self) -> None:
        """Another setting is another trial; an explicit default is not."""
        assert len({BASE.key, self.TRIAL.key, self.TRIAL.but(**{"schedule.drop": 0.5}).key}) == 3
        assert BASE.but(**{"augment.specaugment.frames": 64}).key == BASE.key

    def test_grids_and_the_command_line_name_them(self) -> None:
        """A setting can be an axis like any field, and a word of --set."""
        trials = grid(BASE, schedule=("steps",), **{"schedule.after": ("30", "45"), "seed": (1, 2)})
        assert [(t["schedule.after"], t.seed) for t in trials] == [("30", 1), ("30", 2), ("45", 1), ("45", 2)]
        words = parse_fields(["schedule=steps", "schedule.after=30"])
        assert BASE.but(**words) == BASE.but(schedule=Steps(after="30"))
        with pytest.raises(ValueError, match=r"TrialConfig has no field .seed\.after"):
            parse_fields(["seed.after=3"])

    def test_defaults_change_no_key(self) -> None:
        """A slot with its default leaves the trial's key as it was."""
        assert dataclasses.replace(BASE, average=NoAverage(), schedule=Constant(), sampler=Shuffled()).key == BASE.key


def test_a_setting_added_later_changes_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its default is the old behaviour."""
    module = ModuleType("trainable.samplers.toy")

    @dataclasses.dataclass(frozen=True)
    class Toy(Part):
        old: int = 1

    @dataclasses.dataclass(frozen=True)
    class Later(Toy):
        new: float = 0.0

    keys = []
    for part in (Toy, Later):
        part.__module__ = module.__name__
        module.Toy = part  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        keys += [BASE.but(sampler=part()).key, BASE.but(sampler=part(old=2)).key]
    assert keys[:2] == keys[2:]


class TestSamplers:
    LABELS = torch.tensor([0] * 9 + [1] * 3 + [2] * 6)
    CLIPS = clips_of(LABELS)

    def test_shuffled_takes_every_clip_once(self) -> None:
        """The order follows from the generator."""
        first, again, other = (Shuffled().order(self.CLIPS, seeded(seed)) for seed in (1, 1, 2))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert first.sort().values.tolist() == list(range(18))

    def test_balanced_takes_each_class_as_often(self) -> None:
        """An epoch keeps its length; all clips of a class appear before any is repeated."""
        order = Balanced().order(self.CLIPS, seeded(1))
        assert self.LABELS[order].view(-1, 3).tolist() == [[0, 1, 2]] * 6
        counts = order.bincount(minlength=18)
        assert counts[9:12].tolist() == [2, 2, 2]
        assert counts[:9].max() == counts[12:].max() == 1
        assert torch.equal(order, Balanced().order(self.CLIPS, seeded(1)))
        assert not torch.equal(order, Balanced().order(self.CLIPS, seeded(2)))

    @pytest.mark.parametrize("turns", ["fixed", "shuffled"])
    def test_balanced_draws_as_pellegrini_2021(self, turns: str) -> None:
        """The five unequal classes of ComParE 2021's primates are drawn equally often, and their clips in turn.

        The released sampler, run 500 times for 64 clips, draws 6,400 of each class, a clip of one class at most once
        more than another, and pairs 3.9 % of neighbours within one class: of ten neighbours, one pair stands across
        two rounds, and has one class in a fifth of them. In a fixed order there are no such pairs.
        """
        counts = (3458, 2217, 158, 874, 208)
        labels = torch.repeat_interleave(torch.arange(5), torch.tensor(counts))
        pairs, neighbours = 0, set()
        for epoch in range(5):
            order = Balanced(turns=turns).order(clips_of(labels), seeded(epoch))
            assert labels[order].bincount().tolist() == [1383] * 5
            uses = order.bincount(minlength=len(labels)).split(counts)
            assert all(of_class.max() - of_class.min() <= 1 for of_class in uses)
            both = labels[order[: len(order) // 2 * 2]].view(-1, 2)
            pairs += int((both[:, 0] == both[:, 1]).sum())
            neighbours |= {tuple(sorted(pair)) for pair in both.tolist()}
        assert pairs / (5 * (len(labels) // 2)) == pytest.approx(0.0388 if turns == "shuffled" else 0, abs=0.006)
        assert len(neighbours) == (15 if turns == "shuffled" else 5)

    def test_an_unknown_order_of_classes_is_refused(self) -> None:
        """With the two that there are; the key of a trial in a fixed order has not changed."""
        assert BASE.but(sampler="balanced").key == BASE.but(**{"sampler": "balanced", "sampler.turns": "fixed"}).key
        with pytest.raises(ValueError, match=r"sampler\.turns='shufled': choose one of fixed, shuffled"):
            BASE.but(**{"sampler": "balanced", "sampler.turns": "shufled"})

    def test_balanced_is_as_long_where_classes_do_not_divide_it(self) -> None:
        """Seven clips of two classes give seven."""
        order = Balanced().order(clips_of(torch.tensor([0, 0, 0, 0, 0, 1, 1])), seeded(1))
        assert len(order) == 7


class TestObjectives:
    def test_cross_entropy_is_torchs(self) -> None:
        """For mixed targets it is the weighted sum over their classes."""
        logits, targets = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.25, 0.75]])
        (loss,) = CrossEntropy().ready(BASE, torch.nn.Linear(1, 1))(logits, targets).values()  # type: ignore[arg-type]
        assert float(loss) == pytest.approx(0.25 * 0.126928 + 0.75 * 2.126928, abs=1e-5)

    def test_binary_cross_entropy_is_of_each_class(self) -> None:
        """By hand, the mean of -t log s(x) - (1 - t) log(1 - s(x)): s(2) = 0.880797, s(0) = 0.5."""
        logits, targets = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.25, 0.75]])
        ready = BinaryCrossEntropy().ready(BASE, torch.nn.Linear(1, 1))  # type: ignore[arg-type]
        (loss,) = ready(logits, targets).values()
        by_hand = 0.25 * 0.126928 + 0.75 * 2.126928 + 0.693147
        assert float(loss) == pytest.approx(by_hand / 2, abs=1e-5)


def test_steps_drop_after_their_epochs() -> None:
    """The rate depends only on the number of the epoch."""
    schedule = Steps(after="2,4", drop=0.1)
    assert [schedule.factor(epoch, 6) for epoch in range(1, 7)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    assert Constant().factor(99, 100) == 1


@pytest.mark.slow
def test_a_plan_with_parts_loads_no_torch() -> None:
    """The top of a part's module must be usable in plans."""
    import subprocess

    program = (
        "import sys; from trainable.config import SLOTS; from trainable.learning.part import ROOT, part_class\n"
        "for slot, folder, _ in SLOTS:\n"
        "    for path in (ROOT / folder).glob('[a-z]*.py'): part_class(slot, folder, path.stem)()\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT.parent)
