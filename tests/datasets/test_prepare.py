"""Preparing a corpus for trials, and the facts that a report must repeat."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.engine import prepare
from datasets.engine.clips import open_clips
from datasets.engine.corpus import CorpusError
from datasets.engine.prepare import Source, Wanted

WriteWav = Callable[..., Path]
WANTED = Wanted("deepship", ("Cargo", "Tug"), "recording", 0.5)


@pytest.fixture
def source(tmp_path: Path, write_wav: WriteWav) -> Source:
    """Five recordings of each of two classes, with two clips each."""
    for seed in range(10):
        write_wav(tmp_path / "data" / ("Cargo", "Tug")[seed % 2] / f"{seed // 2}.wav", seed=seed)
    return Source(tmp_path / "data", tmp_path / "cache")


def with_policy(source: Source) -> Source:
    return Source(source.data_root, source.cache_dir, on_bad="drop")


def test_a_corpus_is_read_split_and_counted(source: Source) -> None:
    """Of five recordings in each class, three are for training, one for validation and one for test."""
    prepared = prepare.prepare(WANTED, source)
    assert prepared.counts == {"train": (6, 12), "validation": (2, 4), "test": (2, 4)}
    assert set(prepared.split.roles) == set(prepared.scan.facts)


def test_clips_of_every_rate_are_there(source: Source) -> None:
    """Each requested rate has a folder with all clips."""
    folders = prepare.clips(prepare.prepare(WANTED, source), (4_000, 8_000), 0.5, source)
    assert {hz: open_clips(folder).wave.shape for hz, folder in folders.items()} == {
        4_000: (20, 2_000),
        8_000: (20, 4_000),
    }


def test_a_damaged_entry_is_found_before_a_trial_starts(source: Source) -> None:
    """An entry that an earlier run left damaged is refused here, with the remedy."""
    prepared = prepare.prepare(WANTED, source)
    folder = prepare.clips(prepared, (8_000,), 0.5, source)[8_000]
    (folder / "clips.npy").write_bytes((folder / "clips.npy").read_bytes()[:-2])
    with pytest.raises(CorpusError, match=f"^{folder}: .*delete it, and it is built again"):
        prepare.clips(prepared, (8_000,), 0.5, source)


def test_memory_gives_the_same(source: Source) -> None:
    """After one scan, data and split are known without reading audio; before it, nothing is."""
    assert prepare.remembered(WANTED, source) is None
    prepared = prepare.prepare(WANTED, source)
    assert prepare.remembered(WANTED, source) == prepared


def test_nothing_is_cached_of_a_bad_corpus(source: Source) -> None:
    """A refused corpus leaves no clips behind."""
    (source.data_root / "Tug/0.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"1 bad files(.|\n)*Tug/0\.wav: empty file"):
        prepare.prepare(WANTED, source)
    assert not (source.cache_dir / "clips").exists()


def test_what_was_left_out_is_noted(source: Source) -> None:
    """With `drop`, the notes name the file and the reason, and the identity of the data changes."""
    complete = prepare.prepare(WANTED, source)
    path = source.data_root / "Tug/0.wav"
    path.write_bytes(b"")
    rest = prepare.prepare(WANTED, with_policy(source))
    assert f"left out: {path}: empty file (0 bytes)" in rest.notes
    assert rest.scan.sha256 != complete.scan.sha256
    assert sum(num for num, _ in rest.counts.values()) == 9


def test_too_few_after_dropping_are_refused(source: Source) -> None:
    """A class with only two good recordings cannot be split."""
    for k in range(3):
        (source.data_root / f"Tug/{k}.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match="class Tug has 2 recordings; a split needs 3"):
        prepare.prepare(WANTED, with_policy(source))


def test_channels_are_noted(source: Source, write_wav: WriteWav) -> None:
    """The notes say how many files were averaged over channels."""
    write_wav(source.data_root / "Tug/0.wav", channels=2, seed=50)
    write_wav(source.data_root / "Tug/1.wav", channels=6, seed=51)
    assert "2 files with several channels, averaged" in prepare.prepare(WANTED, source).notes


def test_several_rates_are_noted_and_cut_alike(source: Source, write_wav: WriteWav) -> None:
    """Files with different rates give clips at one rate; a note warns that the rate may reveal the class."""
    write_wav(source.data_root / "Tug/0.wav", rate_hz=11_025, seed=50)
    prepared = prepare.prepare(WANTED, source)
    assert "files were recorded at several rates: 9 at 8000 Hz, 1 at 11025 Hz" in prepared.notes
    assert open_clips(prepare.clips(prepared, (16_000,), 0.5, source)[16_000]).wave.shape == (20, 8_000)


def test_one_rate_and_one_channel_need_no_note(source: Source) -> None:
    """Ordinary files need no note except how the vessels were found, or that they are unknown."""
    said = ("metafile", "vessel by", "is unknown")
    assert all(any(word in note for word in said) for note in prepare.prepare(WANTED, source).notes)


def test_one_file_under_two_names_is_refused(source: Source) -> None:
    """Copies of a file in two roles are both named."""
    for k in range(1, 5):
        shutil.copy(source.data_root / "Tug/0.wav", source.data_root / f"Tug/{k}.wav")
    with pytest.raises(CorpusError, match="same audio is in two roles") as error:
        prepare.prepare(WANTED, source)
    assert all(f"Tug/{k} (" in str(error.value) for k in range(5))
