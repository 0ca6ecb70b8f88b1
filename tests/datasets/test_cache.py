"""Clips on disk: cut correctly at every rate, complete or absent, whoever builds them and whatever is killed."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine import cache
from datasets.engine.clips import open_clips
from datasets.engine.corpus import Corpus, CorpusError, Recording, find
from datasets.engine.decoding.audio import decode, resample, to_int16
from datasets.engine.scan import Scan, scan

ROOT = Path(__file__).parents[2]
RATES_HZ = (2_000, 8_000, 16_000)
CLIP_S = 0.5
MakeCorpus = Callable[..., Corpus]
WriteWav = Callable[..., Path]
MakeScan = Callable[..., Scan]

# A process that scans the corpus `Cargo/*.wav`, `Tug/*.wav` below argv[1] and builds into argv[2].
BUILDER = """
import fcntl, os, pathlib, sys, time
from datasets.engine import cache
from datasets.engine.corpus import find
from datasets.engine.scan import scan

root, folder, mode, num = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])

def wait_for_all(name):
    pathlib.Path(folder, f"{name}-{os.getpid()}").touch()
    while len(list(folder.glob(f"{name}-*"))) < num:
        time.sleep(0.01)

def progress(items, total, what):
    for k, item in enumerate(items):
        if mode == "hang" and k == 2:
            print("half", flush=True)
            time.sleep(600)
        yield item
    if mode in ("no locks", "broken locks"):
        wait_for_all("built")
    else:
        pathlib.Path(folder, f"built-{os.getpid()}").touch()
        time.sleep(0.5)

def broken(*args):
    raise OSError("No locks available")

if mode == "no locks":
    fcntl.flock = lambda *args: None
if mode == "broken locks":
    fcntl.flock = broken
corpus = find("deepship", root, ("Cargo", "Tug"))
scanned = scan(corpus, 0.5, folder)
wait_for_all("ready")
folders = cache.build(scanned, (2_000, 8_000), 0.5, folder, progress)
print(*folders.values())
"""


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def make_scan(make_corpus: MakeCorpus, cache_dir: Path) -> MakeScan:
    """A function that writes a corpus and scans it."""
    return lambda **options: scan(make_corpus(**options), CLIP_S, cache_dir)


def builder(root: Path, cache_dir: Path, mode: str = "plain", num: int = 1) -> subprocess.Popen[str]:
    cache_dir.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILDER, str(root), str(cache_dir), mode, str(num)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left_in(cache_dir: Path) -> set[str]:
    """Everything in the folder of the entries."""
    return {p.name for p in (cache_dir / "clips").iterdir()} - {".lock"}


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_clips_are_slices_of_the_whole_recording(rate_hz: int, make_scan: MakeScan, cache_dir: Path) -> None:
    """Recordings are resampled before cutting: joined, the clips are the recording without a seam."""
    scanned = make_scan(seconds=1.7)
    clips = open_clips(cache.build(scanned, RATES_HZ, CLIP_S, cache_dir)[rate_hz])
    for recording in scanned.corpus.recordings:
        wave, facts = decode(recording.path)
        samples = to_int16(resample(wave, facts.rate_hz, rate_hz))
        np.testing.assert_array_equal(
            clips.wave[clips.recording == recording.id].ravel(), samples[: 3 * round(CLIP_S * rate_hz)]
        )


@pytest.mark.parametrize("num_frames", [11_025, 11_026, 22_049, 22_050, 33_333])
def test_every_rate_has_the_same_clips(num_frames: int, tmp_path: Path, cache_dir: Path) -> None:
    """The rate changes neither the number of clips nor their recordings, for any duration."""
    (tmp_path / "x.wav").parent.mkdir(exist_ok=True)
    soundfile.write(tmp_path / "x.wav", np.random.default_rng(0).uniform(-0.5, 0.5, num_frames), 22_050)
    corpus = Corpus("deepship", tmp_path, ("Cargo",), (Recording("Cargo/x", tmp_path / "x.wav", "Cargo"),))
    folders = cache.build(scan(corpus, CLIP_S, cache_dir), (2_000, 16_000, 44_100, 64_000), CLIP_S, cache_dir)
    opened = {hz: open_clips(folder) for hz, folder in folders.items()}
    for hz, clips in opened.items():
        assert clips.wave.shape == (num_frames // 11_025, round(CLIP_S * hz))
        assert clips.number.tolist() == list(range(num_frames // 11_025))


def test_a_clip_of_broken_length_is_padded_at_the_end_alone(make_scan: MakeScan, cache_dir: Path) -> None:
    """0.5001 s at 8 kHz is 4001 samples (4000.8): ten clips exceed their 5.001 s by two samples."""
    scanned = make_scan(seconds=5.001)
    clips = open_clips(cache.build(scanned, (8_000,), 0.5001, cache_dir)[8_000])
    assert clips.wave.shape == (4 * 10, 4_001)
    recording = to_int16(decode(scanned.corpus.recordings[0].path)[0])
    np.testing.assert_array_equal(clips.wave[:10].ravel(), [*recording, 0, 0])


def test_labels_and_numbers_stand_beside_each_clip(make_scan: MakeScan, cache_dir: Path) -> None:
    """Clips are ordered by recording id and time; labels are indices into `classes`."""
    scanned = make_scan(seconds=1.2)
    clips = open_clips(cache.build(scanned, (8_000,), CLIP_S, cache_dir)[8_000], scanned.corpus)
    assert clips.recording.tolist() == ["Cargo/0"] * 2 + ["Cargo/1"] * 2 + ["Tug/0"] * 2 + ["Tug/1"] * 2
    assert clips.number.tolist() == [0, 1] * 4
    assert clips.label.tolist() == [0] * 4 + [1] * 4
    assert (clips.classes, clips.rate_hz) == (("Cargo", "Tug"), 8_000)


def test_without_a_corpus_clips_have_no_labels(make_scan: MakeScan, cache_dir: Path) -> None:
    """The entry knows none, so that none can be those of another corpus."""
    clips = open_clips(cache.build(make_scan(), (8_000,), CLIP_S, cache_dir)[8_000])
    assert (set(clips.label), clips.classes) == ({-1}, ())


def test_levels_are_each_clips_extremes(make_scan: MakeScan, cache_dir: Path) -> None:
    """The levels are the smallest and largest sample of each clip, in order."""
    clips = open_clips(cache.build(make_scan(seconds=1.2), RATES_HZ, CLIP_S, cache_dir)[2_000])
    np.testing.assert_array_equal(clips.levels, np.stack([clips.wave.min(axis=1), clips.wave.max(axis=1)], axis=1))


def test_what_went_in_is_written_beside_the_clips(make_scan: MakeScan, cache_dir: Path) -> None:
    """An entry has the manifest, the recordings with facts, and the clips with their starts; no label."""
    scanned = make_scan(seconds=1.2)
    folder = cache.build(scanned, (8_000,), CLIP_S, cache_dir)[8_000]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["num_clips"], manifest["rate_hz"], manifest["clip_s"]) == (8, 8_000, CLIP_S)
    assert manifest["num_clipped"] == 0
    with (folder / "recordings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["sha256"] for row in rows] == [facts.sha256 for facts in scanned.facts.values()]
    with (folder / "clips.csv").open(newline="") as file:
        second = list(csv.DictReader(file))[1]
    assert second == {"clip": "1", "recording": "Cargo/0", "start_s": "0.5"}
    tables = {path.name: path.read_text() for path in folder.iterdir() if path.suffix != ".npy"}
    assert not any(word in text for text in tables.values() for word in ("label", "classes", "vessel", "data_sha256"))


def test_clips_beyond_full_scale_are_counted(tmp_path: Path, cache_dir: Path) -> None:
    """A clip with clipped samples counts once, however many there are."""
    loud = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
    loud[100:200], loud[200:300] = 1.5, -1.5
    soundfile.write(tmp_path / "x.wav", loud, 8_000, subtype="FLOAT")
    corpus = Corpus("deepship", tmp_path, ("Cargo",), (Recording("Cargo/x", tmp_path / "x.wav", "Cargo"),))
    folder = cache.build(scan(corpus, CLIP_S, cache_dir), (8_000,), CLIP_S, cache_dir)[8_000]
    assert json.loads((folder / "manifest.json").read_text())["num_clipped"] == 1


def test_an_entry_is_named_by_what_it_is_made_of(make_scan: MakeScan, cache_dir: Path) -> None:
    """Rate, clip length, bytes and ids change the entry's name; the corpus folder, labels and groups do not."""
    scanned, elsewhere = make_scan(), make_scan(root="elsewhere")
    first, *others = scanned.corpus.recordings

    def with_first(**changes: object) -> Scan:
        recordings = (dataclasses.replace(first, **changes), *others)  # type: ignore[arg-type]
        return dataclasses.replace(scanned, corpus=dataclasses.replace(scanned.corpus, recordings=recordings))

    other_bytes = {**scanned.facts, first.id: dataclasses.replace(scanned.facts[first.id], sha256="0" * 64)}
    name = cache.entry(scanned, 8_000, CLIP_S, cache_dir)
    others_names = {
        cache.entry(scanned, 16_000, CLIP_S, cache_dir),
        cache.entry(scanned, 8_000, 0.25, cache_dir),
        cache.entry(dataclasses.replace(scanned, facts=other_bytes), 8_000, CLIP_S, cache_dir),
    }
    assert len(others_names | {name}) == 4
    assert cache.entry(with_first(label="Tug"), 8_000, CLIP_S, cache_dir) == name
    assert cache.entry(with_first(groups={"vessel": "ANOTHER"}), 8_000, CLIP_S, cache_dir) == name
    relabelled = dataclasses.replace(scanned.corpus, classes=("Tug",), recordings=others[-1:])
    assert cache.entry(dataclasses.replace(scanned, corpus=relabelled), 8_000, CLIP_S, cache_dir) != name
    assert cache.entry(elsewhere, 8_000, CLIP_S, cache_dir) == name
    assert cache.entry(scanned, 8_000, 1, cache_dir) == cache.entry(scanned, 8_000, 1.0, cache_dir)


def test_what_is_there_is_not_built_again(make_scan: MakeScan, cache_dir: Path) -> None:
    """A second call builds only the missing rates and leaves existing files alone."""
    scanned = make_scan()
    first = cache.build(scanned, (2_000,), CLIP_S, cache_dir)[2_000]
    before = (first / "clips.npy").stat()
    folders = cache.build(scanned, (2_000, 8_000), CLIP_S, cache_dir)
    assert (folders[2_000] / "clips.npy").stat() == before
    assert left_in(cache_dir) == {folder.name for folder in folders.values()}


def test_a_file_that_changes_after_the_scan_is_refused(
    make_scan: MakeScan, write_wav: WriteWav, cache_dir: Path
) -> None:
    """If the bytes differ from the scan, no entry is made and no partial one remains."""
    scanned = make_scan()
    path = write_wav(scanned.corpus.recordings[1].path, seed=77)
    with pytest.raises(CorpusError, match=f"^{path}: changed since it was scanned; touch it"):
        cache.build(scanned, RATES_HZ, CLIP_S, cache_dir)
    assert not left_in(cache_dir)


def test_a_file_that_breaks_after_the_scan_is_refused(make_scan: MakeScan, cache_dir: Path) -> None:
    """A file that was truncated in the meantime is named with its reason."""
    scanned = make_scan()
    path = scanned.corpus.recordings[1].path
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CorpusError, match=f"^{path}: truncated: .*; it was good when it was scanned"):
        cache.build(scanned, RATES_HZ, CLIP_S, cache_dir)
    assert not left_in(cache_dir)


def test_a_cache_folder_that_is_a_file_is_refused(make_scan: MakeScan, tmp_path: Path) -> None:
    """The message names the folder and the remedy."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CorpusError, match=r"--cache-dir .*/file: .*; choose another, or free some space"):
        cache.build(make_scan(), (8_000,), CLIP_S, tmp_path / "file")


def test_too_small_a_disk_is_refused_before_the_work(make_scan: MakeScan, cache_dir: Path) -> None:
    """The message states the needed and the free space; nothing is started."""
    with pytest.raises(CorpusError, match=r"needs 4000\.00 GB, .* GB are free; choose another"):
        cache.build(make_scan(seconds=0.5), (10**12,), CLIP_S, cache_dir)
    assert not left_in(cache_dir)


def test_a_disk_that_fills_up_leaves_nothing(make_scan: MakeScan, cache_dir: Path) -> None:
    """If the system refuses to write, the message says so and no partial entry remains."""
    scanned, before = make_scan(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # Python ignores the signal and sees the error
    try:
        with pytest.raises(CorpusError, match="File too large; choose another, or free some space"):
            cache.build(scanned, (8_000,), CLIP_S, cache_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not left_in(cache_dir)


def test_a_full_disk_leaves_nothing(make_scan: MakeScan, tmp_path: Path) -> None:
    """A real small disk runs out of blocks before bytes: ten files of 5 pages need more than its 44."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=176k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk may be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with pytest.raises(CorpusError, match="No space left on device; choose another, or free some space"):
            cache.build(make_scan(num=1, seconds=0.5), range(8_150, 8_160), CLIP_S, disk)
        assert not left_in(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _rename_recordings(path: Path) -> None:
    path.write_text(path.read_text().replace("Tug", "Tub"))


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "no manifest": ("manifest.json", Path.unlink),
    "manifest cut": ("manifest.json", _cut_in_half),
    "manifest of something else": ("manifest.json", lambda path: path.write_text("[]")),
    "manifest without a key": ("manifest.json", lambda path: path.write_text("{}")),
    "clips cut": ("clips.npy", _cut_in_half),
    "clips empty": ("clips.npy", lambda path: path.write_bytes(b"")),
    "clips of another entry": ("clips.npy", lambda path: np.save(path, np.zeros((2, 4_000), np.int16))),
    "no clips": ("clips.npy", Path.unlink),
    "levels empty": ("levels.npy", lambda path: path.write_bytes(b"")),
    "table cut": ("clips.csv", _cut_in_half),
    "table empty": ("clips.csv", lambda path: path.write_text("")),
    "table of other columns": ("clips.csv", lambda path: path.write_text("a,b\n" + "1,2\n" * 8)),
    "table of other recordings": ("clips.csv", _rename_recordings),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_refused(damage: str, make_scan: MakeScan, cache_dir: Path) -> None:
    """The message names the entry and says that deleting it is enough, which is true."""
    scanned = make_scan(seconds=1.2)
    folder = cache.build(scanned, (8_000,), CLIP_S, cache_dir)[8_000]
    name, harm = DAMAGE[damage]
    harm(folder / name)
    with pytest.raises(CorpusError, match=f"^{folder}: .*delete it, and it is built again$"):
        open_clips(folder, scanned.corpus)
    shutil.rmtree(folder)
    assert len(open_clips(cache.build(scanned, (8_000,), CLIP_S, cache_dir)[8_000]).wave) == 8


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_entry_is_built_bit_for_bit_again(make_scan: MakeScan, cache_dir: Path, tmp_path: Path) -> None:
    """Threads, and the order in which they finish, do not change an entry."""
    scanned = make_scan(num=6)
    first, again = (cache.build(scanned, (8_000,), CLIP_S, folder)[8_000] for folder in (cache_dir, tmp_path / "again"))
    assert bytes_of(first) == bytes_of(again)


@pytest.mark.slow
def test_a_killed_builder_leaves_nothing_in_use(make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """The folder of a killed builder is not an entry; the next build removes it and makes the entry."""
    scanned = scan(find("deepship", make_corpus(num=4).root, ("Cargo", "Tug")), CLIP_S, cache_dir)
    process = builder(scanned.corpus.root, cache_dir, "hang")
    assert process.stdout
    assert process.stdout.readline() == "half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (part,) = left_in(cache_dir)
    assert part.startswith(f".part-{process.pid}-")
    folders = cache.build(scanned, (2_000, 8_000), CLIP_S, cache_dir)
    assert left_in(cache_dir) == {folder.name for folder in folders.values()}
    assert len(open_clips(folders[8_000]).wave) == 16


@pytest.mark.slow
def test_only_what_is_dead_is_removed(make_scan: MakeScan, cache_dir: Path) -> None:
    """The folder of a live process stays, and so does that of another host unless it is old."""
    host = socket.gethostname()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    alive = {f".part-{os.getpid()}-a@{host}", f".part-{dead.pid}-a@{host}-7", f".part-{dead.pid}-a@x{host}"}
    gone = {f".part-{dead.pid}-a@{host}", ".part-1-old@elsewhere"}
    for name in alive | gone:
        (cache_dir / "clips" / name).mkdir(parents=True)
    os.utime(cache_dir / "clips/.part-1-old@elsewhere", (1, 1))
    entry = cache.build(make_scan(), (8_000,), CLIP_S, cache_dir)[8_000]
    assert left_in(cache_dir) == alive | {entry.name}


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "num_built"), [("plain", 1), ("no locks", 4), ("broken locks", 4)])
def test_many_may_build_at_once(mode: str, num_built: int, make_corpus: MakeCorpus, cache_dir: Path) -> None:
    """Four processes that build one cache end with the same complete entries, with and without locks.

    With locks the work is done once; if they do nothing or fail, all four work at the same time.
    """
    scanned = scan(find("deepship", make_corpus(num=4).root, ("Cargo", "Tug")), CLIP_S, cache_dir)
    processes = [builder(scanned.corpus.root, cache_dir, mode, num=4) for _ in range(4)]
    answers = [(*process.communicate(timeout=600), process.returncode) for process in processes]
    assert {code for _, _, code in answers} == {0}, answers
    assert len({out for out, _, _ in answers}) == 1
    assert len(list(cache_dir.glob("built-*"))) == num_built
    folders = cache.build(scanned, (2_000, 8_000), CLIP_S, cache_dir)
    assert left_in(cache_dir) == {folder.name for folder in folders.values()}
    for hz, folder in folders.items():
        wave = resample(decode(scanned.corpus.recordings[-1].path)[0], 8_000, hz)
        np.testing.assert_array_equal(open_clips(folder).wave[-2:].ravel(), to_int16(wave))
