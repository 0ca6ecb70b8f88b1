"""An impossible trial is refused, and the key depends on the trial, never on the way it is written."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.engine.command.options import parse_fields
from sweeps.recipes.mohammadi import RATES
from trainable.backbones import panns
from trainable.config import CHANCE, CHOICES, CLIPS, DATA, FIELDS, START, TrialConfig
from trainable.learning.part import Part
from trainable.schedules.steps import Steps

BASE = RATES


@dataclass(frozen=True)
class Toy(Part):
    """An average that does nothing."""


Toy.__module__ = "trainable.averages.toy"

KEY = "3972239c3a8a"  # the key of BASE, which must never change, because stores are full of such keys
OTHER: dict[str, Any] = {  # another value for every field
    "corpus": "esc50",
    "backbone": "panns/toy",
    "pretrain_hz": 16_000,
    "data_hz": 16_000,
    "augment": "none",
    "seed": 2,
    "classes": "Cargo,Tug",
    "groups": "(?P<label>.)",
    "short": "pad",
    "overlap": 0.5,
    "target": "day",
    "split": "vessel",
    "clip_s": 4.0,
    "scale": "pcm",
    "weights": "none",
    "width": 0.5,
    "head_dropout": 0.0,
    "input_norm": "standard",
    "weight_decay": 1e-3,
    "score_on": "validation",
    "lr": 1e-4,
    "batch": 64,
    "epochs": 50,
    "patience": 10,
    "stop_by": "accuracy",
    "keep_by": "loss",
    "sampler": "balanced",
    "objective": "binary_cross_entropy",
    "average": Toy(),
    "schedule": Steps(after="30"),
    "scores": "accuracy+loss",
    "keep": "embeddings",
    "input": "wave",
    "trained": "head",
    "precision": "bfloat16",
}


def test_key_is_pinned() -> None:
    """The key of the study's base config is the same in every version."""
    assert BASE.key == KEY


def test_defaults_are_pinned() -> None:
    """A default never changes, because old keys would then stand for new behaviour."""
    defaults = {f.name: f.default for f in dataclasses.fields(TrialConfig) if f.default is not dataclasses.MISSING}
    assert defaults == {
        "classes": "",
        "groups": "",
        "short": "refuse",
        "overlap": 0.0,
        "target": "",
        "split": "recording",
        "scale": "pcm",
        "weights": "none",
        "width": 1.0,
        "head_dropout": 0.0,
        "input_norm": "none",
        "weight_decay": 0.0,
        "score_on": "test",
        "patience": 0,
        "stop_by": "loss",
        "keep_by": "none",
        "scores": "accuracy+recording_accuracy+loss",
        "keep": "none",
        "input": "own",
        "trained": "everything",
        "sampler": "shuffled",
        "objective": "cross_entropy",
        "average": "none",
        "schedule": "constant",
        "precision": "float32",
    }


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(TrialConfig)])
def test_key_depends_on_every_field(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A different value of any field is a different trial."""
    monkeypatch.setitem(panns.MIN_FRAMES, "toy", 32)
    monkeypatch.setitem(panns.NUM_PARAMETERS, "toy", 1)
    monkeypatch.setitem(panns.CHECKPOINTS, ("toy", 32_000), panns.CHECKPOINTS["cnn14", 32_000])
    any_norm = functools.partial(
        dataclasses.replace, panns.card("toy", 32_000), input_norms=("batch", "standard"), inputs=("logmel", "wave")
    )
    monkeypatch.setattr(panns, "card", lambda backbone, pretrain_hz: any_norm(backbone=backbone))
    needed = {
        "width": {"weights": "none"},
        "trained": {"augment": "none", "input_norm": "standard"},
        "input": {"augment": "none"},
    }
    base = dataclasses.replace(BASE, **needed.get(name, {}))
    assert dataclasses.replace(base, **{name: OTHER[name]}).key != base.key


def test_a_networks_own_input_is_one_trial_however_it_is_said() -> None:
    """Naming the network's own input does not change the trial; another network then gets its own input."""
    assert BASE.but(input="logmel") == BASE
    assert BASE.but(input="logmel").but(backbone="res1dnet31", augment="mixup").given.name == "wave"


def test_an_input_that_a_network_cannot_take_is_refused() -> None:
    """The message names the inputs that it takes."""
    with pytest.raises(ValueError, match="input='wave': cnn14 takes logmel; choose that, or own"):
        BASE.but(input="wave")


def test_a_later_field_changes_no_key() -> None:
    """A new field with the old behaviour as its default changes no old key; other values make new keys."""

    @dataclass(frozen=True, kw_only=True)
    class Later(TrialConfig):
        ema: float = 0.0
        warmth: str = "none"

    assert Later(**BASE.to_dict()).key == KEY  # type: ignore[arg-type]
    assert Later(**BASE.to_dict(), ema=0.99).key != KEY  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {"clip_s": 5},
        {"clip_s": "5.0"},
        {"lr": "0.00005"},
        {"seed": 1.0},
        {"seed": "1"},
        {"data_hz": "32_000"},
        {"data_hz": 32e3},
        {"classes": " , "},
    ],
)
def test_key_does_not_depend_on_the_writing(fields: dict[str, Any]) -> None:
    """The same numbers as int, float or text are the same trial."""
    assert dataclasses.replace(BASE, **fields) == BASE
    assert dataclasses.replace(BASE, **fields).key == KEY


def test_minus_zero_is_zero() -> None:
    """Two configs that compare equal have one key."""
    plus, minus = (dataclasses.replace(BASE, head_dropout=value) for value in (0.0, -0.0))
    assert plus == minus
    assert plus.key == minus.key


@pytest.mark.parametrize("text", ["Tug,Cargo", " Cargo , Tug ", "Cargo,,Tug,"])
def test_classes_are_a_set(text: str) -> None:
    """Order and blanks in the list of classes do not matter."""
    config = dataclasses.replace(BASE, classes=text)
    assert config.classes == "Cargo,Tug"
    assert config.class_list == ("Cargo", "Tug")
    assert config.key == dataclasses.replace(BASE, classes="Cargo,Tug").key


def test_a_class_may_have_a_comma() -> None:
    """In quotation marks, in any order; a config that is read back is the same."""
    config = dataclasses.replace(BASE, classes='Cat, "Dog, bark"')
    assert config.classes == 'Cat,"Dog, bark"'
    assert config.class_list == ("Cat", "Dog, bark")
    assert config.key == dataclasses.replace(BASE, classes='"Dog, bark",Cat').key
    assert dataclasses.replace(BASE, classes=config.classes) == config
    with pytest.raises(ValueError, match="name two or more different classes"):
        dataclasses.replace(BASE, classes='"Dog, bark"')


def test_key_does_not_depend_on_the_order_of_fields() -> None:
    """Keywords in any order make the same trial."""
    assert TrialConfig(**dict(reversed(BASE.to_dict().items()))).key == KEY  # type: ignore[arg-type]


def test_a_clip_is_a_whole_number_of_samples() -> None:
    """Otherwise clips would drift along their recording."""
    with pytest.raises(ValueError, match=r"clip_s=1.00001: not a whole number of samples at data_hz=32000"):
        dataclasses.replace(BASE, clip_s=1.00001)


@given(
    lr=st.floats(1e-38, 1e38),
    clip_s=st.integers(400, 10**6).map(lambda ms: ms / 1000),  # whole samples at every rate
    head_dropout=st.floats(0, 1, exclude_max=True),
    seed=st.integers(0, 2**53 - 1),
    batch=st.integers(1, 10**6),
)
def test_a_config_survives_being_written_as_text(**fields: Any) -> None:
    """A trial is read back from the text in the store, to the last bit of a float."""
    config = dataclasses.replace(BASE, **fields)
    words = [f"{name}={value}" for name, value in config.to_dict().items()]
    again = TrialConfig(**parse_fields(words))  # type: ignore[arg-type]
    assert again == config
    assert again.key == config.key


@given(st.integers(2**53 - 4, 2**53 + 4), st.integers(2**53 - 4, 2**53 + 4))
def test_different_seeds_never_share_a_key(one: int, other: int) -> None:
    """A seed that is too large for an exact float is refused, not rounded."""

    def key(seed: int) -> str | None:
        try:
            return dataclasses.replace(BASE, seed=seed).key
        except ValueError:
            return None

    assert one == other or key(one) is None or key(one) != key(other)


def test_a_seed_above_2_to_the_53_is_refused() -> None:
    """2^53 + 1 would silently become 2^53."""
    with pytest.raises(ValueError, match="seed=9007199254740993: must be of type int"):
        dataclasses.replace(BASE, seed=2**53 + 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"augment": "specaug"}, r"augment='specaug': choose one of .*mixup.* with \+ between them, or none"),
        ({"scale": "max"}, "scale='max': choose one of minmax, pcm"),
        ({"keep_by": "test"}, "keep_by='test': choose one of accuracy, loss"),
        ({"stop_by": ""}, "stop_by='': choose one of"),
        ({"data_hz": 0}, "data_hz=0: must be above 0"),
        ({"clip_s": -1}, "clip_s=-1.0: must be above 0"),
        ({"lr": 0}, "lr=0.0: must be above 0"),
        ({"batch": 0}, "batch=0: must be above 0"),
        ({"epochs": 0}, "epochs=0: must be above 0 and at most 9,999"),
        ({"patience": -1}, "patience=-1: must be at least 0"),
        ({"width": 0, "weights": "none"}, "width=0.0: must be above 0"),
        ({"head_dropout": 1}, "head_dropout=1.0: must be at least 0 and below 1"),
        ({"seed": -1}, "seed=-1: must be at least 0"),
        ({"classes": "Tug"}, "classes='Tug': name two or more different classes"),
        ({"classes": "Tug,Tug"}, "classes='Tug,Tug': name two or more different classes"),
        ({"weights": "run:1"}, "weights='run:1': choose published, none, or run:KEY"),
        ({"weights": "run:0123456789abc"}, "12-digit key"),
        ({"width": 0.5}, "width=0.5: the published weights fit width=1 only; set weights=none"),
        ({"backbone": "cnn15"}, "backbone='cnn15': there is no such network; there are cnn14, cnn10"),
        ({"backbone": "cnn15"}, r"and family/name of baseline, efficientat, timm; did you mean cnn1\d\?$"),
        ({"backbone": "panns/cnn15"}, "backbone='panns/cnn15': there is no such PANN; there are cnn14"),
        ({"backbone": "nosuch/net"}, "there is no family trainable/backbones/nosuch.py"),
        ({"pretrain_hz": 22_050}, "pretrain_hz=22050: cnn14 was pre-trained at 32000, 16000, 8000 Hz"),
        ({"data_hz": 1_000}, "gives 16 frames to cnn14 .* which needs 32; raise data_hz or clip_s"),
        ({"seed": 1.5}, "seed=1.5: must be of type int"),
        ({"seed": True}, "seed=True: must be of type int"),
        ({"seed": "one"}, "seed='one': must be of type int"),
        ({"lr": float("nan")}, "lr=nan: must be of type float"),
        ({"lr": float("inf")}, "lr=inf: must be of type float"),
        ({"epochs": float("inf")}, "epochs=inf: must be of type int"),
        ({"corpus": 3}, "corpus=3: must be of type str"),
        ({"corpus": "../x"}, "corpus='../x': is not a valid name; write the name of a file of datasets/"),
        ({"corpus": "x\n"}, r"corpus='x\\n': must be of type str, text in UTF-8 without control characters"),
        ({"backbone": "timm/../../x"}, "backbone='timm/../../x': is not a valid name; write a network's name"),
        ({"backbone": 99 * "x"}, r"backbone='x{79}\.\.\. \(101 characters\): is not a valid name"),
        ({"split": ""}, "split='': is not a valid name; write recording, published"),
        ({"split": "speaker:6/5"}, "split='speaker:6/5': folds are counted from 1; write speaker:1/5 to speaker:5/5"),
        ({"split": "published:x"}, "split='published:x': is not a valid name; write recording, published"),
        ({"data_hz": 10**15}, "data_hz=1000000000000000: must be at least 1 and at most 10,000,000"),
        ({"clip_s": 1e12}, "clip_s=1000000000000.0: must be at least 1e-06 and at most 3,600"),
        ({"width": 1e300, "weights": "none"}, r"width=1e\+300: must be at least 0.0009765625 and at most 16"),
        ({"width": 1e-9, "weights": "none"}, "width=1e-09: must be at least 0.0009765625"),
        ({"lr": 1e300}, r"lr=1e\+300: must be at least 1e-38 and at most 1e\+38"),
        ({"weight_decay": 1e300}, r"weight_decay=1e\+300: must be at least 0 and at most 1e\+38"),
        ({"batch": 10**12}, "batch=1000000000000: must be at least 1 and at most 1,000,000"),
        ({"epochs": 10_000}, "epochs=10000: must be at least 1 and at most 9,999"),
        ({"seed": 2**60}, r"seed=1152921504606846976: must be of type int, a whole number below 2\*\*53"),
        ({"lr": None}, "lr=None: must be of type float"),
    ],
)
def test_impossible_values_are_refused(fields: dict[str, Any], message: str) -> None:
    """The error names the field, the value and the remedy."""
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(BASE, **fields)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in CHOICES.items() for value in values])
def test_every_choice_is_accepted(name: str, value: str) -> None:
    """Every choice in an error message is possible."""
    fields: dict[str, Any] = {"augment": "none", name: value}
    assert getattr(dataclasses.replace(BASE, **fields), name) == value


def test_the_shortest_clip_is_just_long_enough() -> None:
    """The backbone's smallest number of frames is accepted, one less is refused."""
    just, needed = BASE.card.min_samples, 32
    assert dataclasses.replace(BASE, data_hz=just, clip_s=1).num_frames == needed
    with pytest.raises(ValueError, match=f"gives {needed - 1} frames"):
        dataclasses.replace(BASE, data_hz=just - 1, clip_s=1)


def test_a_clip_is_as_long_as_half_a_window_of_any_network() -> None:
    """The front end reflects half a window (512 samples) at both ends, however few frames are needed."""
    timm = dataclasses.replace(BASE, backbone="timm/regnety_320.tv2_in1k", data_hz=513, clip_s=1)
    assert timm.num_samples == timm.card.front_end.window // 2 + 1
    with pytest.raises(ValueError, match=r"gives 512 samples to timm/regnety_320.tv2_in1k .* which needs 513"):
        dataclasses.replace(timm, data_hz=512)


def test_a_config_cannot_be_changed() -> None:
    """A trial with a key keeps its values."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        BASE.seed = 2  # type: ignore[misc]


def test_fields_are_parsed_to_their_types() -> None:
    """Text becomes a value of the field's type, in canonical form."""
    parsed = parse_fields(["lr=1e-3", "batch=8", "classes=Tug, Cargo", "weights=run:0123456789ab", "seed=7.0"])
    assert parsed == {
        "lr": 0.001,
        "batch": 8,
        "classes": "Cargo,Tug",
        "weights": "run:0123456789ab",
        "seed": 7,
    }
    assert [type(v) for v in parsed.values()] == [float, int, str, str, int]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lr", "'lr': write field=value"),
        ("learning_rate=1", "TrialConfig has no field 'learning_rate'; it has corpus, backbone"),
        ("batch=many", "batch='many': must be of type int"),
        ("batch=1.5", "batch='1.5': must be of type int"),
        ("lr=", "lr='': must be of type float"),
    ],
)
def test_words_that_are_no_fields_are_refused(word: str, message: str) -> None:
    """The message names a misspelt field or value."""
    with pytest.raises(ValueError, match=message):
        parse_fields([word])


def test_a_linear_probe_augments_nothing() -> None:
    """Its embeddings are made once, so an augmentation would be the same in every epoch."""
    with pytest.raises(ValueError, match=r"augment='mixup'.*choose augment=none, or trained=everything"):
        dataclasses.replace(BASE, trained="head", augment="mixup")


def test_a_linear_probe_trains_no_normalisation() -> None:
    """Without a pre-trained normalisation of its input, a network would get decibels."""
    timm = {"backbone": "timm/resnet50.a1_in1k", "trained": "head", "augment": "none"}
    with pytest.raises(ValueError, match=r"input_norm='batch': .* choose input_norm=standard or none"):
        dataclasses.replace(BASE, **timm)  # type: ignore[arg-type]
    assert dataclasses.replace(BASE, **timm, input_norm="standard").trained.name == "head"  # type: ignore[arg-type]


class TestChanges:
    def test_every_field_says_what_it_changes(self) -> None:
        """Every field declares at least one aspect."""
        assert all(field.metadata["changes"] for field in FIELDS.values())

    def test_only_asks_by_it(self) -> None:
        """Each aspect gives its fields in order; with `all_but` they make up all fields."""
        assert dict(BASE.only(DATA, CLIPS)) == {
            "corpus": "deepship",
            "classes": "",
            "groups": "",
            "short": "refuse",
            "overlap": 0.0,
            "target": "",
            "clip_s": BASE.clip_s,
        }
        assert dict(BASE.only(START)).keys() == {"backbone", "pretrain_hz", "weights"}
        assert dict([*BASE.only(DATA, CHANCE), *BASE.all_but(DATA, CHANCE)]) == BASE.to_dict()

    def test_seeds_share_all_but_chance(self) -> None:
        """The result of `only` can be a key for trials that share something."""
        other = dataclasses.replace(BASE, seed=BASE.seed + 1)
        assert other.all_but(CHANCE) == BASE.all_but(CHANCE)
        assert other.only(CHANCE) != BASE.only(CHANCE)
