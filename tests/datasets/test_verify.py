"""`verify` compares every byte of files that a scan only compares by size and time."""

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
    """Four scanned recordings."""
    scanned = find("deepship", make_corpus().root, ("Cargo", "Tug"))
    scan(scanned, 0.5, tmp_path / "cache")
    return scanned


@pytest.fixture
def run_verify(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[[], tuple[int, list[str]]]:
    """A function that runs `verify` and returns the exit code and the printed lines."""

    def verified() -> tuple[int, list[str]]:
        words = ["--data-root", str(corpus.root), "--cache-dir", str(tmp_path / "cache"), "--classes", "Cargo,Tug"]
        code = main(["deepship", *words])
        return code, capsys.readouterr().out.splitlines()

    return verified


RunVerify = Callable[[], tuple[int, list[str]]]


def flip(path: Path) -> None:
    """Changes one bit in the middle, but keeps size and modification time."""
    before, data = path.stat(), bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_what_is_as_it_was_is_no_problem(corpus: Corpus, run_verify: RunVerify) -> None:
    """Every file is read, and the exit code reports success."""
    assert run_verify() == (0, [f"{corpus.root}: 4 files, 0 problems"])


def test_a_link_to_a_device_is_not_read(corpus: Corpus, run_verify: RunVerify) -> None:
    """A device has no end; the other files are verified."""
    path = corpus.recordings[0].path
    path.unlink()
    path.symlink_to("/dev/zero")
    assert run_verify() == (1, [f"{path}: missing: cannot be read (not a file)", f"{corpus.root}: 4 files, 1 problems"])


def test_changed_missing_and_new_files_are_named(corpus: Corpus, run_verify: RunVerify, write_wav: WriteWav) -> None:
    """All of them are named, sorted by path, and the exit code is 1."""
    changed, missing = corpus.recordings[0].path, corpus.recordings[3].path
    flip(changed)
    missing.unlink()
    new = write_wav(corpus.root / "Cargo" / "7.wav")
    code, (first, second, third, last) = run_verify()
    assert (code, last) == (1, f"{corpus.root}: 4 files, 3 problems")
    assert first.startswith(f"{changed}: changed: its SHA-256 is ")
    assert second == f"{new}: new: was never scanned and found good"
    assert third == f"{missing}: missing: cannot be read (No such file or directory)"


def test_it_sees_what_a_scan_does_not(corpus: Corpus, run_verify: RunVerify, tmp_path: Path) -> None:
    """A scan misses a change that keeps size and time; once the file is touched, both notice it."""
    before = scan(corpus, 0.5, tmp_path / "cache").sha256
    flip(corpus.recordings[1].path)
    assert scan(corpus, 0.5, tmp_path / "cache").sha256 == before
    assert run_verify()[0] == 1
    corpus.recordings[1].path.touch()
    assert scan(corpus, 0.5, tmp_path / "cache").sha256 != before
    assert run_verify()[0] == 0


def test_it_changes_nothing(corpus: Corpus, run_verify: RunVerify, tmp_path: Path) -> None:
    """The remembered facts stay as they are."""
    flip(corpus.recordings[0].path)
    before = remembered(corpus, 0.5, tmp_path / "cache")
    run_verify()
    run_verify()
    assert remembered(corpus, 0.5, tmp_path / "cache") == before is not None


def test_other_corpora_in_the_same_cache_are_left_alone(
    run_verify: RunVerify, make_corpus: MakeCorpus, tmp_path: Path
) -> None:
    """Remembered files of another root are not reported as missing."""
    other = make_corpus(root="corpus of another")
    scan(other, 0.5, tmp_path / "cache")
    other.recordings[0].path.unlink()
    assert run_verify()[0] == 0


def test_cut_entries_of_the_clip_cache_are_named(corpus: Corpus, run_verify: RunVerify, tmp_path: Path) -> None:
    """The message has the remedy."""
    folder = cache.build(scan(corpus, 0.5, tmp_path / "cache"), (8_000,), 0.5, tmp_path / "cache")[8_000]
    assert run_verify()[0] == 0
    clips = folder / "clips.npy"
    clips.write_bytes(clips.read_bytes()[:-2])
    code, (line, _) = run_verify()
    assert code == 1
    assert line.startswith(f"{folder}: not a complete cache entry")
    assert line.endswith("delete it, and it is built again")


def test_nothing_to_compare_is_an_error(
    make_corpus: MakeCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A corpus that was never scanned, another cache folder or an unknown corpus is not called good."""
    root = make_corpus().root
    words = ["--cache-dir", str(tmp_path / "cache"), "--classes", "Cargo,Tug"]
    assert main(["deepship", "--data-root", str(root), *words]) == 2
    assert f"remembers no file of {root}; start a sweep on it first" in capsys.readouterr().err
    assert main(["deepship", "--data-root", str(tmp_path / "nowhere"), *words]) == 2
    assert "there is no such folder" in capsys.readouterr().err
