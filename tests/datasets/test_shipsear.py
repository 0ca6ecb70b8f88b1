"""ShipsEar: the number of a recording determines its class, its type and its ship."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from datasets import shipsear
from datasets.engine import splits
from datasets.engine.corpus import Corpus, CorpusError, find
from datasets.synthetic.shipsear import write

NAMES = (  # of the real recordings, one of each form
    "6__10_07_13_marDeCangas_Entra", "40__19_07_13_MarDeCangas_Llega_Interf", "93__A__Draga_1", "92__E__8H_N",
    "71__23_07_13_H3_Discovery_UK_DUDA", "61__23_07_13_H3_MarDeCangas_SALE-2",
)  # fmt: skip


def corpus_of(root: Path, *names: str) -> Corpus:
    """The corpus of empty files with these names."""
    root.mkdir(exist_ok=True)
    for name in names:
        (root / f"{name}.wav").touch()
    return shipsear.find(root)


def test_the_tables_are_whole() -> None:
    """90 recordings, 6 to 96 without 44, each of one type; a ship is of one class, and each class has three or more."""
    numbers = sorted(n for _, own in shipsear.TYPES.values() for n in own)
    assert numbers == [n for n in range(6, 97) if n != 44]
    by_class = Counter(label for label, own in shipsear.TYPES.values() for _ in own)
    assert by_class == {"A": 17, "B": 19, "C": 30, "D": 12, "E": 12}
    seen = [n for own in shipsear.ONE_SHIP for n in own]
    assert len(seen) == len(set(seen))
    for own in shipsear.ONE_SHIP:
        assert len({shipsear.TYPE_OF[n] for n in own}) == 1


def test_a_number_says_all(tmp_path: Path) -> None:
    """Whatever stands behind it: the names of one ferry are spelt in several ways."""
    corpus = corpus_of(tmp_path / "ears", *NAMES)
    told = {r.id: (r.label, r.groups["type"], r.groups["ship"]) for r in corpus.recordings}
    assert corpus.classes == ("A", "C", "D", "E")
    assert told["93__A__Draga_1"] == ("A", "dredger", "of recording 80")
    assert told["92__E__8H_N"] == ("E", "ambient noise", "of recording 92")
    assert told["71__23_07_13_H3_Discovery_UK_DUDA"] == ("D", "ocean liner", "of recording 71")
    ferry = {told[name] for name in NAMES if "arDeCangas" in name}
    assert ferry == {("C", "ferry", "of recording 6")}


def test_another_name_is_named(tmp_path: Path) -> None:
    """A number that there is not, or none; a folder with only such files is refused."""
    corpus = corpus_of(tmp_path / "ears", "44__10_07_13_ship", "shipsEar", *NAMES)
    assert sorted(p.path.stem for p in corpus.problems) == ["44__10_07_13_ship", "shipsEar"]
    assert "does not begin with the number of a recording" in corpus.problems[0].reason
    with pytest.raises(CorpusError, match="no file is named like those of ShipsEar"):
        corpus_of(tmp_path / "other", "cargo")


def test_the_whole_corpus_can_be_split_by_ship(tmp_path: Path) -> None:
    """Each class has ships for three roles, and no ship has two."""
    corpus = corpus_of(tmp_path / "ears", *(f"{number}__x" for number in shipsear.TYPE_OF))
    split = splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "ship")
    splits.check(split, corpus, {r.id: r.id for r in corpus.recordings})
    assert all(15 <= number <= 23 for role, number in Counter(split.roles.values()).items() if role == "test")


def test_the_writers_recordings_have_real_numbers(tmp_path: Path) -> None:
    """The first of each class."""
    write(tmp_path / "ears", num_per_class=2, seconds=(0.1, 0.1), rate_hz=8_000)
    corpus = find("shipsear", tmp_path / "ears")
    assert Counter(r.label for r in corpus.recordings) == dict.fromkeys("ABCDE", 2)
    assert corpus.problems == ()
