"""A corpus is scanned completely: all faults are reported at once, and no file is read twice."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine.corpus import Corpus, CorpusError, Problem
from datasets.engine.scan import Scan, memory, remembered, scan

MakeCorpus = Callable[..., Corpus]
WriteWav = Callable[..., Path]


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def keep_times(path: Path, change: Callable[[], object]) -> None:
    """Changes a file but restores its modification time."""
    before = path.stat()
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_facts_are_by_recording(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """Every recording has the facts of its own file."""
    corpus = make_corpus()
    facts = scan(corpus, 0.5, cache_dir).facts
    assert list(facts) == [r.id for r in corpus.recordings]
    assert len({f.sha256 for f in facts.values()}) == len(corpus.recordings)


def test_all_bad_files_are_named_at_once(make_corpus: MakeCorpus, write_wav: WriteWav, cache_dir: Path) -> None:
    """One error lists every bad file with its reason, the corpus's own problems, and the remedy."""
    corpus = make_corpus(num=4)
    paths = [r.path for r in corpus.recordings]
    paths[0].write_bytes(b"<html>404</html>")
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    paths[4].unlink()
    soundfile.write(paths[5], np.zeros(8_000), 8_000)
    write_wav(paths[6], seconds=0.25)
    corpus = dataclasses.replace(corpus, problems=(Problem(corpus.root / "metafile", "line 3 is odd"),))
    with pytest.raises(CorpusError) as error:
        scan(corpus, 0.5, cache_dir)
    header, *lines, remedy = str(error.value).splitlines()
    assert header == f"6 bad files in {corpus.root}; nothing was run:"
    reasons = ("line 3 is odd", "not audio", "truncated", "cannot be read", "silent", "0.25 s long, shorter than one")
    for line, path, reason in zip(
        lines, (corpus.root / "metafile", *(paths[k] for k in (0, 1, 4, 5, 6))), reasons, strict=True
    ):
        assert line.startswith(f"  {path}: {reason}")
    assert remedy.endswith("--bad-files drop")


def test_dropped_files_are_left_out_and_recorded(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """`drop` keeps only the good recordings, and records which ones were dropped and why."""
    corpus = make_corpus()
    corpus.recordings[1].path.write_bytes(b"")
    scanned = scan(corpus, 0.5, cache_dir, on_bad="drop")
    assert [r.id for r in scanned.corpus.recordings] == list(scanned.facts) == ["Cargo/0", "Tug/0", "Tug/1"]
    assert scanned.dropped == (Problem(corpus.recordings[1].path, "empty file (0 bytes)"),)


def test_dropping_a_whole_class_is_refused(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """If no recording of a class is left, the bad files are an error even with `drop`."""
    corpus = make_corpus()
    for recording in corpus.recordings[2:]:
        recording.path.write_bytes(b"")
    with pytest.raises(CorpusError, match=r"(?s)2 bad files.*Tug/0.wav: empty.*nothing is left of class Tug"):
        scan(corpus, 0.5, cache_dir, on_bad="drop")


def test_a_clip_as_long_as_its_recording_fits(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """A recording of exactly one clip is good; with one sample less it is bad."""
    corpus = make_corpus(seconds=0.7)
    assert set(scan(corpus, 0.7, cache_dir).num_clips(0.7).values()) == {1}
    with pytest.raises(CorpusError, match="4 bad files"):
        scan(corpus, 0.7 + 1 / 8_000, cache_dir)


@pytest.mark.parametrize(("num_missing", "shown"), [(1, "0.4999"), (2, "0.4998"), (400, "0.45"), (3_990, "0.00")])
def test_a_short_recording_is_shown_shorter(
    num_missing: int, shown: str, make_corpus: MakeCorpus, cache_dir: Path
) -> None:
    """The duration has enough digits to differ from the clip length."""
    corpus = make_corpus(num=1, seconds=0.5 - num_missing / 8_000)
    with pytest.raises(CorpusError, match=rf"0\.wav: {re.escape(shown)} s long, shorter than one clip of 0\.5 s"):
        scan(corpus, 0.5, cache_dir)


def test_the_tail_is_dropped(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """1.45 s give four clips of 0.3 s; 1.5 s give five."""
    scanned = scan(make_corpus(seconds=1.45), 0.3, cache_dir)
    assert set(scanned.num_clips(0.3).values()) == {4}
    assert set(scanned.num_clips(0.29).values()) == {5}


def test_a_second_look_reads_no_audio(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """A file with the same size and time is not opened, so changed bytes stay unnoticed."""
    corpus = make_corpus()
    first = scan(corpus, 0.5, cache_dir)
    path = corpus.recordings[0].path
    keep_times(path, lambda: path.write_bytes(bytes(path.stat().st_size)))
    assert scan(corpus, 0.5, cache_dir).facts == first.facts


def test_a_changed_file_is_read_again(make_corpus: MakeCorpus, write_wav: WriteWav, cache_dir: Path) -> None:
    """A new modification time is enough, and the identity of the data follows the bytes."""
    corpus = make_corpus()
    first = scan(corpus, 0.5, cache_dir)
    write_wav(corpus.recordings[0].path, seed=99)
    os.utime(corpus.recordings[0].path, (1, 1))
    assert scan(corpus, 0.5, cache_dir).sha256 != first.sha256


def test_a_fixed_file_is_good_at_once(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """A bad file is never remembered, even if its size and time stay the same."""
    corpus = make_corpus()
    path = corpus.recordings[0].path
    good = path.read_bytes()
    path.write_bytes(bytes(len(good)))
    with pytest.raises(CorpusError, match="1 bad files"):
        scan(corpus, 0.5, cache_dir)
    keep_times(path, lambda: path.write_bytes(good))
    assert len(scan(corpus, 0.5, cache_dir).facts) == 4


def test_what_other_rules_found_good_is_read_again(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """A contradictory header was good to an older version, whose memory has no number of rules."""
    corpus = make_corpus()
    first = scan(corpus, 0.5, cache_dir)
    path = corpus.recordings[0].path
    content = path.read_bytes()
    keep_times(path, lambda: path.write_bytes(content[:24] + struct.pack("<I", 9_000) + content[28:]))
    assert scan(corpus, 0.5, cache_dir) == remembered(corpus, 0.5, cache_dir) == first
    with sqlite3.connect(cache_dir / "facts.sqlite") as connection:
        connection.execute("UPDATE facts SET facts = json_remove(facts, '$.rules')")
    connection.close()
    assert remembered(corpus, 0.5, cache_dir) is None
    with pytest.raises(CorpusError, match=r"Cargo/0\.wav: its header contradicts itself: 9000 Hz"):
        scan(corpus, 0.5, cache_dir)
    assert {facts for _, facts in memory(cache_dir).values()} >= set(first.facts.values())  # `verify` compares them


def _garbage(index: Path) -> None:
    index.write_bytes(b"no database" * 1_000)


def _cut(index: Path) -> None:
    index.write_bytes(index.read_bytes()[:5_000])


def _empty(index: Path) -> None:
    index.write_bytes(b"")


def _facts(index: Path, facts: str) -> None:
    with sqlite3.connect(index) as connection:
        connection.execute("UPDATE facts SET facts = ?", (facts,))
    connection.close()


DAMAGE: dict[str, Callable[[Path], None]] = {
    "garbage": _garbage,
    "cut": _cut,
    "empty": _empty,
    "facts are no json": lambda index: _facts(index, "{"),
    "facts of other fields": lambda index: _facts(index, json.dumps({"sha1": "0"})),
    "facts are a number": lambda index: _facts(index, "3"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_memory_is_read_anew(damage: str, make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """Whatever happens to facts.sqlite, the scan is the same and is remembered again."""
    corpus = make_corpus()
    first = scan(corpus, 0.5, cache_dir)
    DAMAGE[damage](cache_dir / "facts.sqlite")
    assert scan(corpus, 0.5, cache_dir) == first
    assert remembered(corpus, 0.5, cache_dir) == first


def test_any_byte_of_the_memory_may_break(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """Forty damaged files in turn give the same recordings or an error that names the folder."""
    corpus, rng = make_corpus(), np.random.default_rng(0)
    first = scan(corpus, 0.5, cache_dir)
    index = cache_dir / "facts.sqlite"
    content = index.read_bytes()
    for _ in range(40):
        broken = bytearray(content)
        start = rng.integers(len(broken))
        broken[start : start + 400] = rng.bytes(len(broken[start : start + 400]))
        index.write_bytes(broken)
        try:
            assert list(scan(corpus, 0.5, cache_dir).facts) == list(first.facts)
        except CorpusError as error:
            assert str(error).startswith(f"--cache-dir {cache_dir}")  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize("place", ["cache", "cache/facts.sqlite"])
def test_a_cache_that_cannot_be_written_is_refused(place: str, make_corpus: MakeCorpus, tmp_path: Path) -> None:
    """A file in place of the folder, or the reverse, gives one message with the remedy."""
    if place == "cache":
        (tmp_path / place).write_text("mine")
    else:
        (tmp_path / place).mkdir(parents=True)
    with pytest.raises(CorpusError, match=r"--cache-dir .*/cache: cannot be written .*; choose another"):
        scan(make_corpus(), 0.5, tmp_path / "cache")


def test_remembered_is_the_scan_itself(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """The remembered scan equals the one from reading."""
    corpus = make_corpus()
    assert scan(corpus, 0.5, cache_dir) == remembered(corpus, 0.5, cache_dir)


def test_memory_says_none_rather_than_half(make_corpus: MakeCorpus, write_wav: WriteWav, cache_dir: Path) -> None:
    """Without a scan, with a missing or too short file, or with a problem, the result is None."""
    corpus = make_corpus()
    assert remembered(corpus, 0.5, cache_dir) is None
    scan(corpus, 0.5, cache_dir)
    assert remembered(corpus, 1.5, cache_dir) is None
    assert remembered(dataclasses.replace(corpus, problems=(Problem(Path("x"), "odd"),)), 0.5, cache_dir) is None
    corpus.recordings[0].path.unlink()
    assert remembered(corpus, 0.5, cache_dir) is None


def test_identity_is_content_and_not_place(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """The same recordings in another folder are the same data; another label makes different data."""
    scanned, elsewhere = (scan(make_corpus(root=root), 0.5, cache_dir) for root in ("here", "there"))
    assert scanned.sha256 == elsewhere.sha256
    first, *others = scanned.corpus.recordings
    relabelled = dataclasses.replace(scanned.corpus, recordings=(dataclasses.replace(first, label="Tug"), *others))
    assert Scan(relabelled, scanned.facts).sha256 != scanned.sha256


def test_progress_sees_every_new_file(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """The first scan shows each file, the second shows none."""
    corpus, shown = make_corpus(), []

    def progress(items, total, what):  # type: ignore[no-untyped-def]
        shown.append((total, what))
        return items

    scan(corpus, 0.5, cache_dir, progress=progress)
    scan(corpus, 0.5, cache_dir, progress=progress)
    assert shown == [(4, "reading audio")]
