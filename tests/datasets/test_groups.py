"""Groups of recordings: the known ones, those trained on, and the one that recordings were sampled by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datasets.engine import prepare, splits
from datasets.engine.corpus import Corpus, CorpusError, Recording, corpora, module
from datasets.engine.decoding.audio import AudioFacts
from datasets.engine.prepare import Wanted
from datasets.engine.scan import Scan
from datasets.engine.splits import ROLES
from datasets.engine.splitting import groups
from datasets.engine.splitting.spellings import near_names, near_notes

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


# Each vessel has two recordings, of which the first is of its own day, and the second shares its day with the next
# vessel's second: pairs of vessels hang together.
CHAIN = [{"vessel": f"V{i // 2}", "day": f"{i}" if i % 2 == 0 else f"common {i // 4}"} for i in range(48)]


def paired(rows: Sequence[dict[str, str]]) -> Corpus:
    """A corpus with a recording for each row, four of class a, then four of class b, and so on."""
    recordings = [Recording(f"{i:02}", ROOT / f"{i}.wav", "ab"[i // 4 % 2], row) for i, row in enumerate(rows)]
    return Corpus("deepship", ROOT, ("a", "b"), tuple(recordings))


def ones(corpus: Corpus) -> dict[str, int]:
    return {r.id: 1 for r in corpus.recordings}


@pytest.mark.parametrize("name", ["vessel+day", "day+vessel", "vessel+day:1/3", "vessel+day:3/3"])
def test_a_split_by_two_groups_keeps_both_together(name: str) -> None:
    """No vessel and no day has two roles, and every role has both classes; the order of the groups changes nothing."""
    corpus = paired(CHAIN)
    roles = splits.make(corpus, ones(corpus), name).roles
    for unit in ("vessel", "day"):
        of_value = {(r.groups[unit], roles[r.id]) for r in corpus.recordings}
        assert len(of_value) == len({value for value, _ in of_value})
    assert {(r.label, roles[r.id]) for r in corpus.recordings} == {(c, role) for c in "ab" for role in ROLES}
    other = splits.make(corpus, ones(corpus), "day+vessel" if ":" not in name else f"day+vessel{name[10:]}")
    assert other.roles == roles


pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30)


@given(pairs)
def test_components_are_the_smallest_parts_that_share_nothing(values: list[tuple[int, int]]) -> None:
    """They are those of a search that joins what touches until nothing changes."""
    corpus = paired([{"vessel": f"{v}", "day": f"{d}"} for v, d in values])
    parts = [{r.id} for r in corpus.recordings]
    groups_of = {r.id: {("vessel", r.groups["vessel"]), ("day", r.groups["day"])} for r in corpus.recordings}
    joined = True
    while joined:
        joined = False
        for a, b in ((a, b) for i, a in enumerate(parts) for b in parts[i + 1 :]):
            if set.union(*map(groups_of.get, a)) & set.union(*map(groups_of.get, b)):  # type: ignore[arg-type]
                parts = [part for part in parts if part not in (a, b)] + [a | b]
                joined = True
                break
    found: dict[str, set[str]] = {}
    for name, component in groups.components(corpus.recordings, ["vessel", "day"]).items():
        found.setdefault(component, set()).add(name)
    assert sorted(map(sorted, found.values())) == sorted(map(sorted, parts))


def test_excerpts_of_one_file_hang_together_in_a_split_by_two_groups() -> None:
    """Also if they share neither vessel nor day."""
    rows = [{"vessel": "A", "day": "1"}, {"vessel": "B", "day": "2"}]
    corpus = corpus_of("deepship", *rows, files=["long", "long"])
    assert set(groups.components(corpus.recordings, ["vessel", "day"]).values()) == {"1"}


@pytest.mark.parametrize("name", ["vessel+day", "vessel+day:1/3"])
def test_a_part_that_cannot_be_cut_is_named(name: str) -> None:
    """One day on which every ship of a class was there leaves that class in one piece."""
    rows = [{**row, "day": "busy" if i // 4 % 2 and i % 2 else row["day"]} for i, row in enumerate(CHAIN)]
    corpus = paired(rows)
    message = (
        r"class b has 1 vessel\+day groups; a split needs 3.*the largest part that must not be cut has 24 of 48 "
        r"recordings, 50 % of the clips.*12 of vessel \(V10, V11, V14 and 9 more\) and 13 of day.*by vessel or day al"
    )
    with pytest.raises(CorpusError, match=message):
        splits.make(corpus, ones(corpus), name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vessel+dya", r"deepship has no group 'dya'; join different ones of day, vessel.*day"),
        ("vessel+vessel", "names vessel twice"),
        ("recording+day", "has no group 'recording'"),
    ],
)
def test_a_split_by_two_groups_needs_two_groups(name: str, message: str) -> None:
    """It is refused before a folder is named."""
    with pytest.raises(CorpusError, match=message):
        prepare.check(Wanted("deepship", (), name, 1.0))
    prepare.check(Wanted("deepship", (), "vessel+day:1/5", 1.0))


def test_a_group_with_a_plus_sign_is_one_group() -> None:
    """A user's column may be named so."""
    rows = [{"a+b": f"{i // 2}", "a": "1", "b": f"{i}"} for i in range(24)]
    corpus = corpus_of("folder", *rows)
    roles = splits.make(corpus, ones(corpus), "a+b").roles
    assert all(roles[f"{i}"] == roles[f"{i + 1}"] for i in range(0, 24, 2))


def unknown(num: int, of_class_b: bool = True) -> Corpus:
    """The corpus of pairs, in which the last `num` recordings of class b, or of both, are of unknown vessels."""
    rows = [dict(row) for row in CHAIN]
    for i in [i for i in range(48) if i // 4 % 2 or not of_class_b][-num:]:
        rows[i]["vessel"] = f"unknown: {i:02}"
    return paired(rows)


@pytest.mark.parametrize("name", ["vessel", "vessel:1/3", "vessel+day"])
def test_a_split_by_a_group_that_is_unknown_is_refused(name: str) -> None:
    """The message says how many and which, and that they can be left out; another split is possible."""
    corpus = unknown(2)
    message = r"the vessel of 2 of 48 recordings is unknown.*: 46, 47; .*--bad-files drop, or choose another split"
    with pytest.raises(CorpusError, match=message):
        splits.make(corpus, ones(corpus), name)
    splits.make(corpus, ones(corpus), "day")


def scanned(corpus: Corpus) -> Scan:
    fact = AudioFacts("", 8_000, 8_000, 1, 0.5, "")
    return Scan(corpus, {r.id: fact for r in corpus.recordings})


def test_recordings_whose_group_is_unknown_can_be_left_out() -> None:
    """With `drop` they are recorded as dropped, for a split by that group alone."""
    data = scanned(unknown(2))
    kept = prepare.known(data, "vessel:1/5")
    assert {r.id for r in data.corpus.recordings} - {r.id for r in kept.corpus.recordings} == {"46", "47"}
    assert set(kept.facts) == {r.id for r in kept.corpus.recordings}
    assert [str(problem) for problem in kept.dropped] == [f"/data/{i}.wav: its vessel is unknown" for i in (46, 47)]
    for other in ("day", "recording", "published"):
        assert prepare.known(data, other) == data


def test_no_class_is_left_out_with_its_groups() -> None:
    """Where nothing is known of a class, the split is refused, and leaving out is no remedy."""
    corpus = unknown(24)
    assert prepare.known(scanned(corpus), "vessel").corpus == corpus
    with pytest.raises(CorpusError, match=r"is unknown.*\(of b none is known\), or choose"):
        splits.make(corpus, ones(corpus), "vessel")


def test_notes_count_the_test_clips_of_groups_that_are_trained_on() -> None:
    """Three of four test clips are of a ship of the training, a fifth is of an unknown one, which is not seen."""
    rows = [{"vessel": v, "day": f"{i}"} for i, v in enumerate(["A", "B", "A", "B", "C", "unknown"])]
    corpus, clips = corpus_of("deepship", *rows), {"0": 9, "1": 9, "2": 5, "3": 1, "4": 1, "5": 1}
    roles = dict.fromkeys("01", "train") | dict.fromkeys("2345", "test")
    assert list(groups.seen_notes(corpus, roles, clips)) == [
        "75 % of test clips are of a vessel that is also in training, and the vessel of 12 % of test clips is unknown"
    ]
    assert list(groups.seen_notes(corpus, roles | {"0": "validation", "1": "validation"}, clips)) == [
        "the vessel of 12 % of test clips is unknown"
    ]


def test_an_unknown_value_is_not_seen() -> None:
    """Two rows of a table that say unknown are not of one ship."""
    rows = [{"vessel": "unknown"}, {"vessel": "unknown"}, {"vessel": "A"}, {"vessel": "A"}]
    arrays = groups.of_clips(corpus_of("deepship", *rows), {"0": "train", "2": "train"}, ["1", "3"])
    assert arrays["seen_vessel"].tolist() == [False, True]


NEAR = [
    ("SEA RAVEN", "Sea-Raven"),
    ("SEA RAVEN", "SEARAVEN"),
    ("SEA RAVEN", "SEA RAVENS"),
    ("SEA RAVEN", "SEA RAEVN"),
    ("SEA RAVEN", "SEA RAVAN"),
    ("ÉTOILE", "ETOILE"),
    ("TUG 1", "TUG 01"),
    ("TUG 1", "Tug-1"),
    ("ST. JOHN", "ST JOHN"),
]
FAR = [
    ("TUG 1", "TUG 2"),
    ("TUG 1", "TUG 11"),
    ("TUG 1 1", "TUG 11"),
    ("OCEAN STAR II", "OCEAN STAR III"),
    ("OCEAN STAR", "OCEAN STAR I"),
    ("BARGE ROW A", "BARGE ROW B"),
    ("JOHN", "JOAN"),
    ("NORTH STAR", "SOUTH STAR"),
    ("SEA RAVEN", "SEA HEAVEN"),
    ("0a3b", "0ab3"),
    ("unknown: Tug/3", "unknown: Tug/03"),
]


@pytest.mark.parametrize(("first", "other"), NEAR)
def test_two_spellings_of_a_name_are_near(first: str, other: str) -> None:
    """Case, punctuation, spaces, accents, zeros, and one wrong letter of a longer name."""
    assert near_names([first, other]) == [tuple(sorted((first, other)))]


@pytest.mark.parametrize(("first", "other"), FAR)
def test_names_of_two_are_not_near(first: str, other: str) -> None:
    """Other numbers, letters that count, short words and two wrong letters are other names."""
    assert near_names([first, other]) == []


@given(st.text("abcdefgh", min_size=6, max_size=9), st.integers(0, 5), st.sampled_from("abcdefgh"))
def test_a_wrong_letter_is_found_anywhere(name: str, place: int, letter: str) -> None:
    """A letter more, less or another: each pair is found, among other names."""
    others = ["QUITE ANOTHER", "ZZZZZZZZ"]
    for wrong in (name[:place] + letter + name[place:], name[:place] + letter + name[place + 1 :]):
        assert near_names([name, wrong, *others]) == [tuple(sorted((name, wrong)))] * (name != wrong)


def test_near_names_are_noted_and_not_joined() -> None:
    """The two ships stay two."""
    corpus = corpus_of("deepship", {"vessel": "SEA RAVEN"}, {"vessel": "SEA RAVENS"}, {"vessel": "OTTER"})
    assert list(near_notes(corpus)) == [
        "perhaps the same vessel under two spellings, which count as two: 'SEA RAVEN' and 'SEA RAVENS'"
    ]
    assert len({r.groups["vessel"] for r in corpus.recordings}) == 3
