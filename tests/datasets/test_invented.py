"""Invented corpora by their addresses, `synthetic://NAME`, and how alike the ships of a class are."""

from __future__ import annotations

import argparse
import inspect
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine import corpus, fetch
from datasets.engine.corpus import CorpusError
from datasets.engine.remote import Remote
from datasets.synthetic import deepship, folder, writers
from datasets.synthetic.ships import KINDS, draw_vessel


class TestAddresses:
    """`--data-root synthetic://deepship`: each machine writes the corpus for itself."""

    @pytest.fixture(autouse=True)
    def _few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deepship, "SMALL", {"num_per_class": 1, "seconds": (1, 1), "rate_hz": 8_000})

    @pytest.mark.parametrize("name", writers.names())
    def test_every_writer_says_how_small_a_miniature_is(self, name: str) -> None:
        """With arguments that its `write` has, and flags of the command."""
        made_by = writers.writer(name)
        accepted = inspect.signature(made_by.write).parameters
        assert set(made_by.SMALL) <= set(accepted)
        assert {"root", "seed"} <= set(accepted)
        assert made_by.add_flags(argparse.ArgumentParser()) is None

    def test_it_is_written_once(self, tmp_path: Path) -> None:
        """The second time finds it; another seed is another corpus."""
        root = tmp_path / "corpora" / "ships"
        fetch.bring(Remote("synthetic://deepship", root))
        first = {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")}
        assert len(first) == 4
        fetch.bring(Remote("synthetic://deepship", root))
        assert {path: path.stat().st_mtime_ns for path in root.rglob("*.wav")} == first
        fetch.bring(Remote("synthetic://deepship?seed=3", tmp_path / "others"))
        bytes_of = {path.read_bytes() for path in first}
        assert all(path.read_bytes() not in bytes_of for path in (tmp_path / "others").rglob("*.wav"))

    def test_what_another_writer_wrote_is_written_anew(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A writer that has been changed, or its arguments: the old sounds would pass for its own."""
        fetch.bring(Remote("synthetic://deepship", tmp_path / "ships"))
        monkeypatch.setitem(deepship.SMALL, "num_per_class", deepship.SMALL["num_per_class"] + 1)
        fetch.bring(Remote("synthetic://deepship", tmp_path / "ships"))
        number = len(list((tmp_path / "ships").rglob("*.wav")))
        assert number == 4 * 2  # classes and recordings of each

    def test_what_a_killed_writer_left_is_written_anew(self, tmp_path: Path) -> None:
        """A corpus has its name when it is whole, and not before."""
        (tmp_path / ".ships.part").mkdir()
        (tmp_path / ".ships.part" / "half.wav").write_bytes(b"half")
        fetch.bring(Remote("synthetic://deepship", tmp_path / "ships"))
        assert {path.name for path in tmp_path.glob("*ships*") if path.is_dir()} == {"ships"}
        assert not list(tmp_path.rglob("half.wav"))

    @pytest.mark.parametrize(
        ("uri", "told"),
        [
            ("synthetic://deepshp", "'deepshp': datasets/synthetic/ cannot invent this corpus; it has deepship, emodb"),
            ("synthetic://", "write synthetic://NAME or synthetic://NAME\\?seed=1"),
            ("synthetic://deepship?seed=x", "write synthetic://NAME or synthetic://NAME\\?seed=1"),
            ("synthetic://../x", "write synthetic://NAME or synthetic://NAME\\?seed=1"),
        ],
    )
    def test_an_address_of_nothing_is_refused(self, uri: str, told: str, tmp_path: Path) -> None:
        """With those that there are, and the form."""
        with pytest.raises(CorpusError, match=told):
            fetch.bring(Remote(uri, tmp_path / "x"))
        assert not (tmp_path / "x").exists()

    def test_a_disk_that_cannot_be_written_is_said(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """With the folder and the flag that names another."""

        def full(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(deepship, "write", full)
        with pytest.raises(CorpusError, match=r"No space left on device.*name another --cache-dir"):
            fetch.bring(Remote("synthetic://deepship", tmp_path / "ships"))


class TestOnesOwn:
    """The folder of a user: class folders, and in them a folder for each animal."""

    def test_is_read_as_one(self, tmp_path: Path) -> None:
        """Its animals are a group, and its files have two rates; all are long enough for clips of 2 s."""
        assert folder.write(tmp_path, num_animals=2) == f"12 recordings of 2 to 3 s in {tmp_path}"
        found = corpus.find("folder", tmp_path)
        assert (found.classes, found.group_names) == (("cricket", "frog", "owl"), ("folder1",))
        assert Counter(r.groups["folder1"] for r in found.recordings) == dict.fromkeys(
            [f"{name}{k}" for name in found.classes for k in (1, 2)], 2
        )
        infos = [soundfile.info(r.path) for r in found.recordings]
        assert {info.samplerate for info in infos} == {16_000, 22_050}
        assert all(2 <= info.duration <= 3 for info in infos)

    def test_a_seed_decides(self, tmp_path: Path) -> None:
        """The same seed gives the same bytes, and another seed other ones."""
        roots = [tmp_path / name for name in "abc"]
        for root, seed in zip(roots, (0, 0, 1), strict=True):
            folder.write(root, num_animals=1, seed=seed)
        first, again, other = ([p.read_bytes() for p in sorted(root.rglob("*.wav"))] for root in roots)
        assert first == again
        assert set(first).isdisjoint(other)

    @pytest.mark.parametrize("numbers", [{"num_animals": 0}, {"seed": -1}])
    def test_impossible_numbers_are_refused(self, numbers: dict[str, int], tmp_path: Path) -> None:
        """Before anything is written."""
        with pytest.raises(ValueError, match="take 1 to 10,000 animals, and a seed of at least 0"):
            folder.write(tmp_path / "new", **numbers)
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("spread", [0.0, -1.0, 1.5, float("nan")])
def test_an_impossible_spread_is_refused(spread: float, tmp_path: Path) -> None:
    """Before anything is written."""
    with pytest.raises(ValueError, match=f"spread={spread}"):
        deepship.write(tmp_path / "new", spread=spread)


def test_ships_of_a_class_are_alike_where_the_spread_is_small() -> None:
    """A tenth of the spread keeps every number within a tenth of its range about the middle."""
    kind = KINDS["Tug"]
    low, high = kind.slope_db
    vessels = [draw_vessel(kind, np.random.default_rng(k), spread=0.1) for k in range(200)]
    off = [abs(v.slope_db - (low + high) / 2) for v in vessels]
    assert max(off) <= 0.05 * (high - low) + 1e-9
    assert max(off) > 0.03 * (high - low)
