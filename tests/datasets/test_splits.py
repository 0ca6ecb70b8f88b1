"""Splits into three roles: disjoint, complete, of the right sizes, and the same on every machine."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.engine import splits
from datasets.engine.corpus import Corpus, CorpusError, Recording
from datasets.engine.splits import ROLES, SHARES, Split

Sized = tuple[Corpus, dict[str, int]]
ROOT = Path("/data")


def corpus_of(rows: list[tuple[str, str, str]], root: Path = ROOT) -> Corpus:
    """A corpus with recordings of (id, label, vessel)."""
    recordings = [Recording(i, root / f"{i}.wav", label, {"vessel": vessel}) for i, label, vessel in sorted(rows)]
    return Corpus("deepship", root, tuple(sorted({r.label for r in recordings})), tuple(recordings))


@st.composite
def corpora(draw: st.DrawFn) -> Sized:
    """Two to four classes, each with at least three vessels of one to four recordings; some vessels have two labels."""
    rows = []
    for label in ("Cargo", "Tanker", "Tug", "Yacht")[: draw(st.integers(2, 4))]:
        sizes = draw(st.lists(st.integers(1, 4), min_size=3, max_size=12))
        for vessel, size in enumerate(sizes):
            rows += [(f"{label}/{vessel}-{k}", label, f"{label} {vessel}") for k in range(size)]
    clips = draw(st.lists(st.integers(1, 60), min_size=len(rows), max_size=len(rows)))
    return corpus_of(rows), {row[0]: num for row, num in zip(rows, clips, strict=True)}


def no_hashes(corpus: Corpus) -> dict[str, str]:
    """A different hash for every file."""
    return {r.id: r.id for r in corpus.recordings}


@given(corpora(), st.sampled_from(["recording", "vessel"]))
def test_every_recording_has_one_role(sized: Sized, name: str) -> None:
    """No recording is left out, and none is invented."""
    corpus, num_clips = sized
    split = splits.make(corpus, num_clips, name)
    assert set(split.roles) == {r.id for r in corpus.recordings}
    assert set(split.roles.values()) <= set(ROLES)


@given(corpora())
def test_no_vessel_has_two_roles(sized: Sized) -> None:
    """In a split by vessel, all recordings of a ship have one role."""
    corpus, num_clips = sized
    split, roles = splits.make(corpus, num_clips, "vessel"), defaultdict(set)
    for recording in corpus.recordings:
        roles[recording.groups["vessel"]].add(split.roles[recording.id])
    assert {len(roles_of_vessel) for roles_of_vessel in roles.values()} == {1}


@pytest.mark.slow
@given(corpora(), st.sampled_from(["recording", "vessel"]))
def test_every_class_is_in_every_role(sized: Sized, name: str) -> None:
    """With at least three groups per class, every role has every class, and the check agrees."""
    corpus, num_clips = sized
    split = splits.make(corpus, num_clips, name)
    pairs = {(r.label, split.roles[r.id]) for r in corpus.recordings}
    assert pairs == {(label, role) for label in corpus.classes for role in ROLES}
    splits.check(split, corpus, no_hashes(corpus))


def shares_of(sizes: list[int]) -> list[float]:
    """The share of clips of each role, for recordings of these sizes."""
    ids = [f"Tug/{k:03}" for k in range(len(sizes))]
    num_clips = dict(zip(ids, sizes, strict=True))
    counts = splits.make(corpus_of([(i, "Tug", i) for i in ids]), num_clips).counts(num_clips)
    return [counts[role][1] / sum(sizes) for role in ROLES]


@given(st.integers(0, 499))
def test_clips_are_shared_seventy_ten_twenty(seed: int) -> None:
    """With 60 recordings of realistic sizes, each role is within 4 points of its share of the clips."""
    sizes = np.rint(np.random.default_rng(seed).lognormal(3.5, 0.8, 60)).astype(int) + 1
    assert shares_of(sizes.tolist()) == pytest.approx(SHARES, abs=0.04)


def test_a_large_group_does_not_swell_a_small_role() -> None:
    """One of 24 groups has 22 % of the clips: it goes to training, and all shares are met."""
    assert shares_of([100, *range(4, 27)]) == pytest.approx(SHARES, abs=0.02)


@pytest.mark.slow
@given(corpora(), st.sampled_from(["recording", "vessel"]), st.randoms(use_true_random=False))
def test_order_and_place_leave_no_trace(sized: Sized, name: str, random) -> None:  # type: ignore[no-untyped-def]
    """Any order of recordings and any folder give the same split and hash."""
    corpus, num_clips = sized
    shuffled, items = list(corpus.recordings), list(num_clips.items())
    random.shuffle(shuffled)
    random.shuffle(items)
    moved = tuple(dataclasses.replace(r, path=Path("/elsewhere") / r.path.name) for r in shuffled)
    other = dataclasses.replace(corpus, root=Path("/elsewhere"), recordings=moved)
    assert splits.make(other, dict(items), name).sha256 == splits.make(corpus, num_clips, name).sha256


@given(corpora())
@settings(max_examples=40)
def test_a_manifest_is_its_split(tmp_path_factory: pytest.TempPathFactory, sized: Sized) -> None:
    """Roles and hash are read back as written, and the file is named after the hash."""
    split = splits.make(*sized)
    path = splits.write(split, tmp_path_factory.mktemp("splits"))
    read = splits.read(path)
    assert (read.roles, read.sha256) == (dict(split.roles), split.sha256)
    assert path.name == f"{split.sha256[:16]}.csv"


def test_names_with_commas_and_quotes_survive_the_manifest(tmp_path: Path) -> None:
    """A manifest can hold any id."""
    split = Split("recording", {'Tug/a, "b" é': "train", "Tug/船": "test"})
    assert splits.read(splits.write(split, tmp_path)).roles == split.roles


def test_the_hash_is_of_the_roles_alone() -> None:
    """Name and notes do not change the hash; a single role does."""
    one = Split("recording", {"a": "train", "b": "test"})
    assert Split("published", {"b": "test", "a": "train"}, ("a note",)).sha256 == one.sha256
    assert Split("recording", {"a": "test", "b": "train"}).sha256 != one.sha256


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"recording,part\na,train\n",
        b"recording,role\na,dev\n",
        b"recording,role\na\n",
        b"recording,role\na,train\na,test\n",
        b"\xff\xfe",
        None,
    ],
)
def test_what_is_no_manifest_is_refused(content: bytes | None, tmp_path: Path) -> None:
    """The message names the file."""
    path = tmp_path / "split.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CorpusError, match=f"^{path}: "):
        splits.read(path)


def test_a_vessel_of_two_labels_is_kept_whole() -> None:
    """A ship with two labels counts for the class with most of its clips, and has one role."""
    rows = [(f"{label}/{k}", label, f"{label} {k}") for label in ("Cargo", "Tanker") for k in range(4)]
    rows += [("Cargo/x", "Cargo", "BOTH"), ("Tanker/x", "Tanker", "BOTH")]
    corpus = corpus_of(rows)
    split = splits.make(corpus, {row[0]: 5 for row in rows} | {"Tanker/x": 50}, "vessel")
    assert split.roles["Cargo/x"] == split.roles["Tanker/x"] == "train"


@pytest.mark.parametrize(("name", "count"), [("recording", "2 recordings"), ("vessel", "1 vessel groups")])
def test_too_few_are_refused(name: str, count: str) -> None:
    """The message names the class, its number of groups and the remedy."""
    rows = [(f"Cargo/{k}", "Cargo", f"C{k}") for k in range(5)] + [(f"Tug/{k}", "Tug", "T") for k in range(2)]
    with pytest.raises(
        CorpusError, match=f"class Tug has {count}; a split needs 3; add recordings, or choose --classes"
    ):
        splits.make(corpus_of(rows), {row[0]: 1 for row in rows}, name)


def test_an_unknown_split_is_refused() -> None:
    """The message lists the splits that exist."""
    with pytest.raises(CorpusError, match=r"split='speaker': deepship can be split by recording, publ.*, vessel"):
        splits.make(corpus_of([("Tug/1", "Tug", "A")]), {"Tug/1": 1}, "speaker")


def test_the_same_audio_in_two_roles_is_refused() -> None:
    """Both recordings are named with their roles; within one role, copies are allowed."""
    corpus = corpus_of([(f"Tug/{k}", "Tug", f"T{k}") for k in range(4)])
    hashes = no_hashes(corpus) | {"Tug/0": "same", "Tug/1": "same"}
    roles = {"Tug/0": "train", "Tug/1": "test", "Tug/2": "validation", "Tug/3": "train"}
    with pytest.raises(CorpusError, match=r"(?s)same audio is in two roles.*Tug/0 \(train\), Tug/1 \(test\)$"):
        splits.check(Split("recording", roles), corpus, hashes)
    splits.check(Split("recording", roles | {"Tug/1": "train", "Tug/3": "test"}), corpus, hashes)


@given(corpora(), st.data())
@settings(max_examples=60)
def test_every_vessel_moved_across_is_found(sized: Sized, data: st.DataObject) -> None:
    """If any one recording is moved to another role than its ship, the check names the ship."""
    corpus, num_clips = sized
    ships = Counter(r.groups["vessel"] for r in corpus.recordings)
    several = [r for r in corpus.recordings if ships[r.groups["vessel"]] > 1]
    if not several:
        return
    split = splits.make(corpus, num_clips, "vessel")
    moved = data.draw(st.sampled_from(several))
    role = data.draw(st.sampled_from([role for role in ROLES if role != split.roles[moved.id]]))
    spoilt = dataclasses.replace(split, roles={**split.roles, moved.id: role})
    with pytest.raises(
        CorpusError, match=rf"split=vessel: these groups are in two roles:(\n|.)*{moved.groups['vessel']}: "
    ):
        splits.check(spoilt, corpus, no_hashes(corpus))


def test_a_role_without_a_class_is_refused() -> None:
    """The message names the class and the role."""
    corpus = corpus_of([(f"{label}/{k}", label, f"{label}{k}") for label in ("Cargo", "Tug") for k in range(3)])
    roles = {f"Cargo/{k}": role for k, role in enumerate(ROLES)} | {f"Tug/{k}": "train" for k in range(3)}
    with pytest.raises(CorpusError, match="split=recording: no Tug in validation; add recordings, or choose --classes"):
        splits.check(Split("recording", roles), corpus, no_hashes(corpus))


class TestGroupsOfManyClasses:
    """Speakers who all say every word: no group counts for one class alone."""

    @staticmethod
    def corpus(num_groups: int, labels_of: Callable[[int], str]) -> Corpus:
        """Groups g0, g1, ...; a recording for each letter that `labels_of` gives a group."""
        return corpus_of(
            [(f"{label}/{group}", label, f"g{group}") for group in range(num_groups) for label in labels_of(group)]
        )

    def test_they_are_shared_out_together(self) -> None:
        """Six of them, as 4, 1 and 1; each role has every class and no group stands in two."""
        corpus = self.corpus(6, lambda group: "abcdefghij")
        split = splits.make(corpus, dict.fromkeys((r.id for r in corpus.recordings), 5), "vessel")
        roles = {r.groups["vessel"]: split.roles[r.id] for r in corpus.recordings}
        assert Counter(roles.values()) == {"train": 4, "validation": 1, "test": 1}
        splits.check(split, corpus, no_hashes(corpus))

    def test_a_rare_class_is_in_every_role(self) -> None:
        """Three of twenty groups have it: they go to three roles."""
        corpus = self.corpus(20, lambda group: "abz" if group < 3 else "ab")
        split = splits.make(corpus, dict.fromkeys((r.id for r in corpus.recordings), 1), "vessel")
        assert {split.roles[r.id] for r in corpus.recordings if r.label == "z"} == set(ROLES)
        splits.check(split, corpus, no_hashes(corpus))
        assert [files for files, _ in split.counts(dict.fromkeys(split.roles, 1)).values()] == [29, 5, 9]

    def test_too_few_are_still_refused(self) -> None:
        """A class that two groups have cannot be in three roles."""
        corpus = self.corpus(20, lambda group: "abz" if group < 2 else "ab")
        with pytest.raises(CorpusError, match="class z has 2 vessel groups; a split needs 3"):
            splits.make(corpus, dict.fromkeys((r.id for r in corpus.recordings), 1), "vessel")
