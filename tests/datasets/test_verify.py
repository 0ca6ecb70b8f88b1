"""What a scan takes for the same file, by size and time, is compared byte by byte when somebody asks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.engine import cache
from datasets.engine.corpus import Corpus, find
from datasets.engine.scan import remembered, scan
from datasets.engine.verify import main

MakeCorpus = Callable[..., Corpus]
WriteWav = Callable[..., Path]


@pytest.fixture
def corpus(make_corpus: MakeCorpus, tmp_path: Path) -> Corpus:
    """Four recordings that were scanned."""
    found = find("deepship", make_corpus().root, ("Cargo", "Tug"))
    scan(found, 0.5, tmp_path / "cache")
    return found


@pytest.fixture
def told(corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[], tuple[int, list[str]]]:
    """A function that verifies: the exit code, and the lines."""

    def verified() -> tuple[int, list[str]]:
        words = ["--data-root", str(corpus.root), "--cache-dir", str(tmp_path / "cache"), "--classes", "Cargo,Tug"]
        code = main(["deepship", *words])
        return code, capsys.readouterr().out.splitlines()

    return verified


Told = Callable[[], tuple[int, list[str]]]


def flip(path: Path) -> None:
    """Changes one bit in the middle, and neither size nor modification time."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_is_as_it_was_is_no_problem(corpus: Corpus, told: Told) -> None:
    """Every file was read, and the exit code says that all is well."""
    assert told() == (0, [f"{corpus.root}: 4 files, 0 problems"])


def test_a_link_to_a_device_is_not_read(corpus: Corpus, told: Told) -> None:
    """It has no end; the rest is verified."""
    path = corpus.recordings[0].path
    path.unlink()
    path.symlink_to("/dev/zero")
    assert told() == (1, [f"{path}: missing: cannot be read (not a file)", f"{corpus.root}: 4 files, 1 problems"])


def test_changed_missing_and_new_files_are_named(corpus: Corpus, told: Told, write_wav: WriteWav) -> None:
    """All at once, by path, and the exit code is 1."""
    changed, missing = corpus.recordings[0].path, corpus.recordings[3].path
    flip(changed)
    missing.unlink()
    new = write_wav(corpus.root / "Cargo" / "7.wav")
    code, (first, second, third, last) = told()
    assert (code, last) == (1, f"{corpus.root}: 4 files, 3 problems")
    assert first.startswith(f"{changed}: changed: its SHA-256 is ")
    assert second == f"{new}: new: was never scanned and found good"
    assert third == f"{missing}: missing: cannot be read (No such file or directory)"


def test_it_sees_what_a_scan_does_not(corpus: Corpus, told: Told, tmp_path: Path) -> None:
    """Behind the same size and time a scan takes other bytes for the same file; once it is touched, both agree."""
    before = scan(corpus, 0.5, tmp_path / "cache").sha256
    flip(corpus.recordings[1].path)
    assert scan(corpus, 0.5, tmp_path / "cache").sha256 == before
    assert told()[0] == 1
    corpus.recordings[1].path.touch()
    assert scan(corpus, 0.5, tmp_path / "cache").sha256 != before
    assert told()[0] == 0


def test_it_changes_nothing(corpus: Corpus, told: Told, tmp_path: Path) -> None:
    """What was remembered is remembered still."""
    flip(corpus.recordings[0].path)
    before = remembered(corpus, 0.5, tmp_path / "cache")
    told()
    told()
    assert remembered(corpus, 0.5, tmp_path / "cache") == before is not None


def test_other_corpora_in_the_same_cache_are_left_alone(told: Told, make_corpus: MakeCorpus, tmp_path: Path) -> None:
    """Files that are remembered of another root are not missed in this one."""
    other = make_corpus(root="corpus of another")
    scan(other, 0.5, tmp_path / "cache")
    other.recordings[0].path.unlink()
    assert told()[0] == 0


def test_cut_entries_of_the_clip_cache_are_named(corpus: Corpus, told: Told, tmp_path: Path) -> None:
    """With the remedy."""
    folder = cache.build(scan(corpus, 0.5, tmp_path / "cache"), (8_000,), 0.5, tmp_path / "cache")[8_000]
    assert told()[0] == 0
    clips = folder / "clips.npy"
    clips.write_bytes(clips.read_bytes()[:-2])
    code, (line, _) = told()
    assert code == 1
    assert line.startswith(f"{folder}: not a complete cache entry")
    assert line.endswith("delete it, and it is built again")


def test_nothing_to_compare_is_an_error(
    make_corpus: MakeCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A corpus that was never scanned, or another cache folder, is not called sound; nor is what is no corpus."""
    root = make_corpus().root
    words = ["--cache-dir", str(tmp_path / "cache"), "--classes", "Cargo,Tug"]
    assert main(["deepship", "--data-root", str(root), *words]) == 2
    assert f"remembers no file of {root}; start a sweep on it first" in capsys.readouterr().err
    assert main(["deepship", "--data-root", str(tmp_path / "nowhere"), *words]) == 2
    assert "there is no such folder" in capsys.readouterr().err
