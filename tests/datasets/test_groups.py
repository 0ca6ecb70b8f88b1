"""Groups of recordings: the known ones, those trained on, and the one that recordings were sampled by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from datasets.engine.corpus import Corpus, Recording, corpora, module
from datasets.engine.splitting import groups

ROOT = Path("/data")


def corpus_of(name: str, *rows: dict[str, str], files: Sequence[str] = ()) -> Corpus:
    """A corpus with recordings 0, 1, ... of these groups, in turn of class a and b."""
    recordings = [
        Recording(str(i), ROOT / f"{i}.wav", "ab"[i % 2], row, files[i] if files else "") for i, row in enumerate(rows)
    ]
    return Corpus(name, ROOT, ("a", "b"), tuple(recordings))


def test_test_clips_have_their_groups_and_whether_training_has_them() -> None:
    """Of four clips, two are of the ship that is in training; a day that only validation has is not seen."""
    rows = [{"vessel": v, "day": d} for v, d in [("A", "1"), ("A", "2"), ("B", "3"), ("C", "3")]]
    roles = {"0": "train", "1": "test", "2": "test", "3": "validation"}
    arrays = groups.of_clips(corpus_of("deepship", *rows), roles, ["1", "1", "2", "2"])
    assert arrays["group_vessel"].tolist() == ["A", "A", "B", "B"]
    assert arrays["seen_vessel"].tolist() == [True, True, False, False]
    assert arrays["group_day"].tolist() == ["2", "2", "3", "3"]
    assert not arrays["seen_day"].any()
    assert str(arrays["sampled_by"]) == "vessel"
    assert set(arrays) == {"group_vessel", "seen_vessel", "group_day", "seen_day", "sampled_by"}


def test_excerpts_have_their_file() -> None:
    """Excerpts of one file are no independent recordings, so that the file is stored with them."""
    corpus = corpus_of("folder", {}, {}, {}, files=["long", "long", ""])
    arrays = groups.of_clips(corpus, {}, ["0", "1", "2"])
    assert arrays["file"].tolist() == ["long", "long", "2"]
    assert "file" not in groups.of_clips(corpus_of("folder", {}, {}), {}, ["0", "1"])


def test_a_group_that_some_recordings_lack_is_not_stored() -> None:
    """Only groups of all recordings have a value for every clip."""
    assert set(groups.of_clips(corpus_of("folder", {"site": "x"}, {}), {}, ["0", "1"])) == {"sampled_by"}


@pytest.mark.parametrize("name", [name for name in corpora() if name != "folder"])
def test_a_corpus_states_the_group_it_was_sampled_by(name: str) -> None:
    """It is one of the groups that the corpus declares."""
    assert module(name).SAMPLED_BY in module(name).GROUPS


def own(num: int, **every: int) -> Corpus:
    """A user's folder of `num` recordings, whose groups have the given numbers of values."""
    return corpus_of("folder", *({name: f"{name}{i // 2 % n}" for name, n in every.items()} for i in range(num)))


def test_a_users_folder_is_sampled_by_its_coarsest_group_of_six_values() -> None:
    """Two sexes are too few to say anything about others; of speakers and sentences the fewer ones count."""
    assert groups.sampled_by(own(40, sex=2, speaker=6, sentence=10)) == "speaker"
    assert groups.sampled_by(own(40, sex=2, speaker=5)) == ""
    assert groups.sampled_by(own(40, fold=10, label=8, speaker=20)) == "speaker"
    assert groups.sampled_by(own(40)) == ""


@pytest.mark.parametrize(
    ("split", "unit"), [("site", "site"), ("site:1/3", "site"), ("site+day", "site"), ("recording", "day")]
)
def test_the_group_that_a_user_splits_by_goes_first(split: str, unit: str) -> None:
    """Three sites are few, but whoever splits by site asks about sites."""
    assert groups.sampled_by(own(40, site=3, day=8), split) == unit


def test_the_split_of_a_known_corpus_does_not_change_what_it_was_sampled_by() -> None:
    """DeepShip was sampled by vessel, also where its days are kept apart."""
    rows = [{"vessel": f"{i // 2}", "day": f"{i}"} for i in range(20)]
    assert groups.sampled_by(corpus_of("deepship", *rows), "day") == "vessel"


def test_the_class_is_no_group_to_sample_by() -> None:
    """Where the speaker is the target, each class is one speaker."""
    rows = [{"speaker": "ab"[i % 2], "word": f"{i // 2}"} for i in range(20)]
    assert groups.sampled_by(corpus_of("fsdd", *rows)) == ""
    assert groups.sampled_by(corpus_of("folder", *rows), "speaker") == "word"
