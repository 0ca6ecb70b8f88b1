"""From a folder to what trials need, and what a report must repeat of it."""

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
    """Five recordings of two classes, two clips each."""
    for seed in range(10):
        write_wav(tmp_path / "data" / ("Cargo", "Tug")[seed % 2] / f"{seed // 2}.wav", seed=seed)
    return Source(tmp_path / "data", tmp_path / "cache")


def with_policy(source: Source) -> Source:
    return Source(source.data_root, source.cache_dir, on_bad="drop")


def test_a_corpus_is_read_split_and_counted(source: Source) -> None:
    """Recordings and clips of each role: of five, three train and one each validates and tests, in both classes."""
    prepared = prepare.prepare(WANTED, source)
    assert prepared.counts == {"train": (6, 12), "validation": (2, 4), "test": (2, 4)}
    assert set(prepared.split.roles) == set(prepared.scan.facts)


def test_clips_of_every_rate_are_there(source: Source) -> None:
    """A folder for each rate that is asked for, each with all clips."""
    folders = prepare.clips(prepare.prepare(WANTED, source), (4_000, 8_000), 0.5, source)
    assert {hz: open_clips(folder).wave.shape for hz, folder in folders.items()} == {
        4_000: (20, 2_000),
        8_000: (20, 4_000),
    }


def test_a_damaged_entry_is_found_before_a_trial_starts(source: Source) -> None:
    """What an earlier run left broken is refused here, with the remedy."""
    prepared = prepare.prepare(WANTED, source)
    folder = prepare.clips(prepared, (8_000,), 0.5, source)[8_000]
    (folder / "clips.npy").write_bytes((folder / "clips.npy").read_bytes()[:-2])
    with pytest.raises(CorpusError, match=f"^{folder}: .*delete it, and it is built again"):
        prepare.clips(prepared, (8_000,), 0.5, source)


def test_memory_gives_the_same(source: Source) -> None:
    """After one reading, data and split are known without reading; before it, nothing is."""
    assert prepare.remembered(WANTED, source) is None
    prepared = prepare.prepare(WANTED, source)
    assert prepare.remembered(WANTED, source) == prepared


def test_nothing_is_cached_of_a_bad_corpus(source: Source) -> None:
    """A refusal leaves no clips behind."""
    (source.data_root / "Tug/0.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"1 bad files(.|\n)*Tug/0\.wav: empty file"):
        prepare.prepare(WANTED, source)
    assert not (source.cache_dir / "clips").exists()


def test_what_was_left_out_is_noted(source: Source) -> None:
    """Under `drop` the notes name the file and the reason, and the data is other data."""
    whole = prepare.prepare(WANTED, source)
    path = source.data_root / "Tug/0.wav"
    path.write_bytes(b"")
    rest = prepare.prepare(WANTED, with_policy(source))
    assert f"left out: {path}: empty file (0 bytes)" in rest.notes
    assert rest.scan.sha256 != whole.scan.sha256
    assert sum(num for num, _ in rest.counts.values()) == 9


def test_too_few_after_dropping_are_refused(source: Source) -> None:
    """A class that bad files leave with two recordings cannot be split."""
    for k in range(3):
        (source.data_root / f"Tug/{k}.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match="class Tug has 2 recordings; a split needs 3"):
        prepare.prepare(WANTED, with_policy(source))


def test_channels_are_noted(source: Source, write_wav: WriteWav) -> None:
    """That files were averaged stands in the notes, with their number."""
    write_wav(source.data_root / "Tug/0.wav", channels=2, seed=50)
    write_wav(source.data_root / "Tug/1.wav", channels=6, seed=51)
    assert "2 files with several channels, averaged" in prepare.prepare(WANTED, source).notes


def test_several_rates_are_noted_and_cut_alike(source: Source, write_wav: WriteWav) -> None:
    """Files of different rates give clips of one rate; a class that was recorded otherwise must not go unseen."""
    write_wav(source.data_root / "Tug/0.wav", rate_hz=11_025, seed=50)
    prepared = prepare.prepare(WANTED, source)
    assert "files were recorded at several rates: 9 at 8000 Hz, 1 at 11025 Hz" in prepared.notes
    assert open_clips(prepare.clips(prepared, (16_000,), 0.5, source)[16_000]).wave.shape == (20, 8_000)


def test_one_rate_and_one_channel_need_no_note(source: Source) -> None:
    """Nothing odd, nothing said but how the vessels were found."""
    assert all("metafile" in note or "vessel by" in note for note in prepare.prepare(WANTED, source).notes)


def test_one_file_under_two_names_is_refused(source: Source) -> None:
    """Copies that fall into two roles are named, both of them."""
    for k in range(1, 5):
        shutil.copy(source.data_root / "Tug/0.wav", source.data_root / f"Tug/{k}.wav")
    with pytest.raises(CorpusError, match="same audio stands in two roles") as error:
        prepare.prepare(WANTED, source)
    assert all(f"Tug/{k} (" in str(error.value) for k in range(5))
