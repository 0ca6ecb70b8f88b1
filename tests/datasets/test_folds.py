"""Folds: each recording is scored once, no group stands in two, and the classes are spread over them."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.engine import splits
from datasets.engine.corpus import Corpus, CorpusError, Recording, find
from datasets.engine.splits import Split
from datasets.engine.splitting import folds
from datasets.engine.splitting.folds import Fold, fold_named, name_of
from datasets.synthetic.esc50 import write as write_esc50
from tests.datasets.test_splits import Sized, corpora, corpus_of, no_hashes

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def ones(corpus: Corpus) -> dict[str, int]:
    """One clip for each recording."""
    return {r.id: 1 for r in corpus.recordings}


def spoken(num_speakers: int, words: str = "ab", takes: int = 2, silent: str = "") -> Corpus:
    """Speakers s1, s2, ... who say every word some times; the last leaves out the word `silent`."""
    rows = []
    for speaker in range(1, num_speakers + 1):
        said = words.replace(silent, "") if speaker == num_speakers and silent else words
        rows += [(f"{word}/{speaker}-{take}", word, f"s{speaker}") for word in said for take in range(takes)]
    return corpus_of(rows)


def all_folds(corpus: Corpus, num_clips: dict[str, int], unit: str, total: int) -> list[Split]:
    """The split of every fold."""
    return [splits.make(corpus, num_clips, f"{unit}:{number}/{total}") for number in range(1, total + 1)]


@settings(max_examples=60)
@given(corpora(), st.sampled_from(["recording", "vessel"]))
def test_every_recording_is_scored_once_and_chooses_once(sized: Sized, unit: str) -> None:
    """Over three folds, each recording has each role once, and a ship is whole in every one."""
    corpus, num_clips = sized
    roles = defaultdict(list)
    for split in all_folds(corpus, num_clips, unit, 3):
        splits.check(split, corpus, no_hashes(corpus))
        for i, role in split.roles.items():
            roles[i].append(role)
    assert set(roles) == {r.id for r in corpus.recordings}
    assert {tuple(sorted(seen)) for seen in roles.values()} == {("test", "train", "validation")}


def test_the_fold_is_scored_the_next_chooses_and_the_others_train() -> None:
    """Cyclically: fold 1 chooses where fold 5 is scored."""
    assert folds.roles({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, 5, 5) == {
        "a": "validation", "b": "train", "c": "train", "d": "train", "e": "test",
    }  # fmt: skip
    assert folds.roles({"a": 1, "b": 2, "c": 3}, 1, 3) == {"a": "test", "b": "validation", "c": "train"}


@settings(max_examples=30)
@given(corpora(), st.randoms(use_true_random=False))
def test_the_order_of_the_recordings_leaves_no_trace(sized: Sized, random) -> None:  # type: ignore[no-untyped-def]
    """Any order gives the same folds."""
    corpus, num_clips = sized
    shuffled = list(corpus.recordings)
    random.shuffle(shuffled)
    other = dataclasses.replace(corpus, recordings=tuple(shuffled))
    assert [s.sha256 for s in all_folds(other, num_clips, "vessel", 3)] == [
        s.sha256 for s in all_folds(corpus, num_clips, "vessel", 3)
    ]


@pytest.mark.parametrize(("takes", "total"), [(7, 5), (10, 4), (30, 7)])
def test_folds_have_equal_numbers_of_clips_and_of_each_class(takes: int, total: int) -> None:
    """Twelve classes do not all put their remainder into the first fold."""
    corpus = corpus_of([(f"{c}/{take:02}", c, f"{c}{take}") for c in "abcdefghijkl" for take in range(takes)])
    tests = [s.counts(ones(corpus))["test"][1] for s in all_folds(corpus, ones(corpus), "recording", total)]
    assert max(tests) - min(tests) <= 1
    for split in all_folds(corpus, ones(corpus), "recording", total):
        of_class = Counter(r.label for r in corpus.recordings if split.roles[r.id] == "test")
        assert max(of_class.values()) - min(of_class.values()) <= 1


def test_folds_are_balanced_by_clips_not_by_recordings() -> None:
    """Recordings of 1 to 30 clips: 465 clips in five folds, of 93 each within two."""
    corpus = corpus_of([(f"a/{k:02}", "a", f"{k}") for k in range(1, 31)])
    num_clips = {f"a/{k:02}": k for k in range(1, 31)}
    tests = [s.counts(num_clips)["test"][1] for s in all_folds(corpus, num_clips, "recording", 5)]
    assert sum(tests) == 465
    assert max(abs(test - 93) for test in tests) <= 2


def test_one_speaker_a_fold_is_counted_as_the_speakers_are() -> None:
    """Fold 10 of 10 is the tenth speaker, not the one after the first."""
    corpus = spoken(10)
    tests = all_folds(corpus, ones(corpus), "vessel", 10)
    scored = [{r.groups["vessel"] for r in corpus.recordings if s.roles[r.id] == "test"} for s in tests]
    assert scored == [{f"s{speaker}"} for speaker in range(1, 11)]


def test_speakers_who_say_every_word_are_spread_over_fewer_folds() -> None:
    """Six in four folds: two of two, two of one; every role has every word."""
    corpus = spoken(6, "abcdefghij")
    tests = all_folds(corpus, ones(corpus), "vessel", 4)
    assert sorted(s.counts(ones(corpus))["test"][0] for s in tests) == [20, 20, 40, 40]
    for split in tests:
        splits.check(split, corpus, no_hashes(corpus))
        assert split.notes == ()


def test_a_word_that_a_speaker_leaves_out_is_noted() -> None:
    """The fold is scored on what there is, and its notes say which word is lacking, in the role that lacks it."""
    corpus = spoken(5, "abc", silent="c")
    four, five = (splits.make(corpus, ones(corpus), f"vessel:{number}/5") for number in (4, 5))
    assert four.notes == ("split=vessel:4/5: no c in validation",)
    assert five.notes == ("split=vessel:5/5: no c in test",)
    for split in (four, five):
        splits.check(split, corpus, no_hashes(corpus))


def test_a_class_that_only_the_scored_fold_has_is_refused() -> None:
    """Nobody could have learnt it."""
    corpus = spoken(5, "ab")
    split = splits.make(corpus, ones(corpus), "recording:1/5")
    told = dataclasses.replace(split, roles={i: "train" if i[0] == "a" else "test" for i in split.roles})
    with pytest.raises(CorpusError, match="split=recording:1/5: no b in train; add recordings, or choose --classes"):
        splits.check(told, corpus, no_hashes(corpus))


def test_a_fold_without_recordings_is_refused() -> None:
    """A role may lack a class, but not all of them."""
    corpus = spoken(5, "ab")
    split = splits.make(corpus, ones(corpus), "vessel:1/5")
    told = dataclasses.replace(split, roles={i: role.replace("test", "train") for i, role in split.roles.items()})
    with pytest.raises(CorpusError, match="split=vessel:1/5: no a, b in test"):
        splits.check(told, corpus, no_hashes(corpus))


def test_a_group_in_two_folds_is_found() -> None:
    """The check of a split holds for folds: one recording is moved to another role than its speaker."""
    corpus = spoken(5)
    split = splits.make(corpus, ones(corpus), "vessel:1/5")
    moved = dataclasses.replace(split, roles=dict(split.roles) | {"a/1-0": "train"})
    with pytest.raises(CorpusError, match=r"(?s)split=vessel:1/5: these groups are in two roles:.*s1: a/1-0 \(train\)"):
        splits.check(moved, corpus, no_hashes(corpus))


def test_more_folds_than_groups_are_refused() -> None:
    """The message has the largest number."""
    corpus = spoken(6)
    with pytest.raises(
        CorpusError, match="split=vessel:1/7: there are 6 vessel groups; write vessel:1/6, or a smaller"
    ):
        splits.make(corpus, ones(corpus), "vessel:1/7")


def test_too_few_groups_of_a_class_are_refused() -> None:
    """As for any split: three roles need three."""
    rows = [(f"a/{k}", "a", f"a{k}") for k in range(9)] + [(f"b/{k}", "b", f"b{k % 2}") for k in range(9)]
    with pytest.raises(CorpusError, match="class b has 2 vessel groups; a split needs 3"):
        splits.make(corpus_of(rows), {row[0]: 1 for row in rows}, "vessel:1/5")


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("published:0", "split='published:0': folds are counted from 1; write published:1$"),
        ("published:03", "split='published:03': has zeros in front; write published:3"),
        ("published:1/5", "split='published:1/5': published folds have a number already; write published:1"),
        ("speaker:2", "split='speaker:2': does not say of how many folds; write speaker:2/5, or published:2"),
        ("speaker:0/5", "split='speaker:0/5': folds are counted from 1; write speaker:1/5 to speaker:5/5"),
        ("speaker:6/5", "split='speaker:6/5': folds are counted from 1; write speaker:1/5 to speaker:5/5"),
        ("speaker:1/2", "split='speaker:1/2': .* write at least 3, speaker:1/3"),
        ("speaker:1/05", "split='speaker:1/05': has zeros in front; write speaker:1/5"),
        ("speaker:1/5/5", "split='speaker:1/5/5': is not the name of a fold; write published:1"),
        ("speaker:", "split='speaker:': is not the name of a fold"),
    ],
)
def test_what_names_no_fold_is_refused(split: str, message: str) -> None:
    """Value, reason, remedy."""
    with pytest.raises(CorpusError, match=message):
        fold_named(split)


@given(st.sampled_from(["recording", "speaker", "my group"]), st.integers(3, 999), st.data())
def test_a_fold_is_its_name(unit: str, total: int, data: st.DataObject) -> None:
    """A name is read back as it was written; a split without a colon is no fold."""
    fold = Fold(unit, data.draw(st.integers(1, total)), total)
    assert fold_named(name_of(fold)) == fold
    assert fold_named(unit) is None


@pytest.mark.parametrize(
    ("split", "corpus", "message"),
    [
        ("published:6", "esc50", "esc50 has 5 published folds; write published:1 to published:5"),
        ("published:1", "deepship", "deepship has no published folds; write recording:1/5, or a group"),
        ("vesel:1/5", "deepship", "split='vesel:1/5': deepship can be split by .* did you mean vessel?"),
    ],
)
def test_folds_that_a_corpus_does_not_have_are_refused_without_its_folder(
    split: str, corpus: str, message: str
) -> None:
    """What the corpus has is said."""
    with pytest.raises(CorpusError, match=message):
        splits.check_name(split, corpus)
    splits.check_name("recording:1/5", corpus)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """An invented ESC-50."""
    root = tmp_path_factory.mktemp("folds") / "esc50"
    write_esc50(root, num_per_class=10, rate_hz=16_000)
    return find("esc50", root)


class TestPublished:
    """The five folds of ESC-50."""

    @pytest.fixture
    def corpus(self, sounds: Corpus) -> Corpus:
        """The invented one."""
        return sounds

    @pytest.mark.parametrize(("number", "chooses"), [(1, "2"), (4, "5"), (5, "1")])
    def test_fold_k_is_scored_and_the_next_chooses(self, corpus: Corpus, number: int, chooses: str) -> None:
        """Each role has the folds that it should have."""
        split = splits.make(corpus, ones(corpus), f"published:{number}")
        having = {
            role: {r.groups["fold"] for r in corpus.recordings if split.roles[r.id] == role} for role in splits.ROLES
        }
        assert (having["test"], having["validation"]) == ({str(number)}, {chooses})
        assert having["train"] == {"1", "2", "3", "4", "5"} - having["test"] - having["validation"]
        splits.check(split, corpus, no_hashes(corpus))

    def test_the_published_split_stays_what_it_was(self, corpus: Corpus) -> None:
        """Folds 1 to 3, 4, 5: none of the five, of which the one that scores fold 5 chooses on fold 1."""
        roles = splits.make(corpus, ones(corpus), "published").roles
        assert {(r.groups["fold"], roles[r.id]) for r in corpus.recordings} == {
            ("1", "train"), ("2", "train"), ("3", "train"), ("4", "validation"), ("5", "test"),
        }  # fmt: skip

    def test_a_fold_that_the_table_lacks_is_refused(self, corpus: Corpus) -> None:
        """A recording's fold must be one of those that the corpus declares."""
        first = corpus.recordings[0]
        other = Recording(first.id, first.path, first.label, dict(first.groups) | {"fold": "6"})
        changed = dataclasses.replace(corpus, recordings=(other, *corpus.recordings[1:]))
        with pytest.raises(CorpusError, match=f"{first.id}: its fold is '6'; write a number of 1 to 5"):
            splits.make(changed, ones(changed), "published:1")


@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")
def test_the_real_folds_of_esc10() -> None:
    """Five folds of 80, all 400 scored once; sources share a fold."""
    corpus = find("esc50", DATA / "esc10")
    tests = [splits.make(corpus, ones(corpus), f"published:{number}") for number in range(1, 6)]
    scored = [i for split in tests for i, role in split.roles.items() if role == "test"]
    assert (len(scored), len(set(scored))) == (400, 400)
    assert [s.counts(ones(corpus))["test"] for s in tests] == [(80, 80)] * 5
