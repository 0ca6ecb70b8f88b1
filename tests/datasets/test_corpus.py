"""The contract of corpora: `find` returns the same shape and order for every corpus on every machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.engine.corpus import Corpus, CorpusError, audio_files, find
from datasets.engine.refusal import Refusal
from datasets.engine.scan import scan
from datasets.synthetic.deepship import write as write_deepship
from datasets.synthetic.emodb import write as write_emodb
from datasets.synthetic.esc50 import write as write_esc50
from datasets.synthetic.fsdd import write as write_fsdd
from datasets.synthetic.gtzan import write as write_gtzan
from datasets.synthetic.shipsear import write as write_shipsear
from datasets.synthetic.speech_commands import write as write_speech_commands
from datasets.synthetic.urbansound8k import write as write_urbansound8k

ROOT = Path(__file__).parents[2]
WriteWav = Callable[..., Path]
Tree = tuple[str, Path]  # a corpus and its folder


def _deepship(root: Path, write_wav: WriteWav) -> None:
    write_deepship(root, num_per_class=3, seconds=(0.5, 1), rate_hz=4_000)


def _deepship_flat(root: Path, write_wav: WriteWav) -> None:
    for index, label in enumerate(("Cargo", "Passengership", "Tanker", "Tug")):
        rows = [f"{k},70,SHIP {label} {k // 2} ,2017110{k},12000{k},1,10-20,\t\n" for k in range(1, 4)]
        for k in range(1, 4):
            write_wav(root / label / f"{k}.wav", seed=10 * index + k)
        (root / label / f"{label.lower()}-metafile").write_text("".join(rows))


def _esc50(root: Path, write_wav: WriteWav) -> None:
    write_esc50(root, num_per_class=3, num_classes=2, rate_hz=16_000)


def _folder(root: Path, write_wav: WriteWav) -> None:
    for seed in range(12):
        write_wav(root / ("a cat", "Hünde, große")[seed % 2] / f"speaker {seed // 4}" / f"{seed}.wav", seed=seed)


def _emodb(root: Path, write_wav: WriteWav) -> None:
    write_emodb(root, num_sentences=1, num_emotions=2, seconds=(0.5, 0.6), rate_hz=8_000)


def _fsdd(root: Path, write_wav: WriteWav) -> None:
    write_fsdd(root, num_speakers=2, num_takes=1, seconds=(0.5, 0.6))


def _gtzan(root: Path, write_wav: WriteWav) -> None:
    write_gtzan(root, num_per_genre=3, num_genres=2, seconds=0.5, rate_hz=8_000)


def _shipsear(root: Path, write_wav: WriteWav) -> None:
    write_shipsear(root, num_per_class=3, seconds=(0.5, 0.6), rate_hz=8_000)


def _speech_commands(root: Path, write_wav: WriteWav) -> None:
    write_speech_commands(root, num_words=2, num_speakers=5, num_takes=1, seconds=(0.5, 0.6), rate_hz=8_000)


def _urbansound8k(root: Path, write_wav: WriteWav) -> None:
    write_urbansound8k(root, num_per_class=3, num_classes=2, seconds=(0.5, 0.6), rate_hz=16_000)


WRITERS = {
    "deepship tree": _deepship,
    "deepship flat": _deepship_flat,
    "emodb": _emodb,
    "esc50": _esc50,
    "folder": _folder,
    "fsdd": _fsdd,
    "gtzan": _gtzan,
    "shipsear": _shipsear,
    "speech_commands": _speech_commands,
    "urbansound8k": _urbansound8k,
}
TABLES = ("meta/esc50.csv", "metadata/UrbanSound8K.csv")
FREE_NAMES = {  # how a name is given an accent; the other new corpora have ASCII names only
    "deepship": "Zoë {}".format,
    "esc50": "Zoë {}".format,
    "folder": "Zoë {}".format,
    "fsdd": lambda name: name.replace("_", "_Zoë", 1),
    "shipsear": lambda name: name.replace("__", "__Zoë ", 1),
    "urbansound8k": "Zoë {}".format,
}


def table_of(root: Path) -> Path | None:
    """The table that names a corpus's files, if it has one."""
    return next((root / table for table in TABLES if (root / table).exists()), None)


@pytest.fixture(scope="module", params=WRITERS)
def tree(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, write_wav: WriteWav
) -> tuple[str, Path]:
    """The name of a corpus and a folder with its layout; tests that change something make a copy."""
    root = tmp_path_factory.mktemp("contract") / "corpus"
    WRITERS[request.param](root, write_wav)
    return request.param.split()[0], root


def facts_of(corpus: Corpus) -> list[tuple[str, str, dict[str, str]]]:
    """All facts of a corpus except its place."""
    return [(r.id, r.label, dict(r.groups)) for r in corpus.recordings]


def test_ids_are_sorted_and_unique(tree: Tree) -> None:
    """Recordings are ordered by id, and no id is repeated."""
    ids = [r.id for r in find(*tree).recordings]
    assert ids == sorted(set(ids)) != []


def test_classes_are_sorted_and_each_has_recordings(tree: Tree) -> None:
    """A label's index is its position in `classes`, and classes and labels are the same set."""
    corpus = find(*tree)
    assert list(corpus.classes) == sorted({r.label for r in corpus.recordings})


def test_every_file_exists_below_the_root(tree: Tree) -> None:
    """Paths are absolute paths of files inside the corpus."""
    corpus = find(*tree)
    for recording in corpus.recordings:
        assert recording.path.is_file()
        assert recording.path.is_absolute()
        assert recording.path.is_relative_to(corpus.root)


def test_every_recording_has_the_groups(tree: Tree) -> None:
    """Every group that can define a split has a nonempty value for every recording."""
    corpus = find(*tree)
    assert corpus.group_names
    for recording in corpus.recordings:
        assert set(recording.groups) == set(corpus.group_names)
        assert all(recording.groups.values())


def test_every_file_is_good(tree: Tree, tmp_path: Path) -> None:
    """There are no problems, and every recording can be read."""
    corpus = find(*tree)
    assert len(scan(corpus, 0.5, tmp_path).facts) == len(corpus.recordings)


def test_the_name_is_the_modules(tree: Tree) -> None:
    """A corpus has the name by which it was found."""
    assert find(*tree).name == tree[0]


def test_the_root_leaves_no_trace(tree: Tree, tmp_path: Path) -> None:
    """Another folder, a relative path or a link gives the same ids, labels and groups."""
    name, root = tree
    shutil.copytree(root, tmp_path / "another place" / "x")
    (tmp_path / "link").symlink_to(root)
    expected = facts_of(find(name, root))
    for place in (tmp_path / "another place" / "x", tmp_path / "link", Path(os.path.relpath(root))):
        assert facts_of(find(name, place)) == expected


def test_the_file_systems_order_leaves_no_trace(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that lists everything in reverse gives the same corpus."""
    listdir, scandir = os.listdir, os.scandir

    class Reversed:
        """`os.scandir` with the entries in reverse order."""

        def __init__(self, path: str | os.PathLike[str] = ".") -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Reversed:
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def __iter__(self) -> Reversed:
            return self

        def __next__(self) -> os.DirEntry[str]:
            if not self.entries:
                raise StopIteration
            return self.entries.pop(0)

        def close(self) -> None:
            pass

    expected = find(*tree)
    monkeypatch.setattr(os, "listdir", lambda path=".": sorted(listdir(path), reverse=True))
    monkeypatch.setattr(os, "scandir", Reversed)
    assert [path.name for path in tree[1].iterdir()] == sorted(listdir(tree[1]), reverse=True)  # the patch works
    assert find(*tree) == expected


def test_unicode_forms_leave_no_trace(tree: Tree, tmp_path: Path) -> None:
    """A name gives the same id whether a disk stores it composed or decomposed."""
    name, root = tree
    if name not in FREE_NAMES:
        pytest.skip("the names of this corpus are ASCII")
    corpus_of = {}
    for form in ("NFC", "NFD"):
        copy = tmp_path / form
        shutil.copytree(root, copy)
        first = find(name, copy).recordings[0].path
        accented = FREE_NAMES[name](first.name)
        first.rename(first.with_name(unicodedata.normalize(form, accented)))
        if table := table_of(copy):
            table.write_text(table.read_text().replace(first.name, accented), encoding="utf-8")
        corpus_of[form] = find(name, copy)
    assert facts_of(corpus_of["NFC"]) == facts_of(corpus_of["NFD"])
    assert any("Zoë" in r.id for r in corpus_of["NFC"].recordings)
    assert not corpus_of["NFD"].problems


def test_some_classes_may_be_chosen(tree: Tree) -> None:
    """With one class, in any order of names, the corpus has exactly that class's recordings."""
    all_classes = find(*tree)
    first, second, *_ = all_classes.classes
    assert find(*tree, (second, first)).classes == (first, second)
    assert facts_of(find(*tree, (first,))) == [fact for fact in facts_of(all_classes) if fact[1] == first]


def test_an_unknown_class_is_refused(tree: Tree) -> None:
    """The message names it, and the classes that exist."""
    with pytest.raises(CorpusError, match="--classes: there is no class Submarine; there are "):
        find(*tree, ("Submarine",))


EMPTY = {  # what the message on an empty folder says of the right one
    "deepship": "one folder each",
    "emodb": "must hold wav/",
    "esc50": "must hold meta/esc50.csv and audio/",
    "fsdd": "must hold recordings/",
    "gtzan": "must hold a folder for each genre, with WAV files",
    "shipsear": "6__10_07_13_marDeCangas_Entra.wav; is it this corpus",
    "speech_commands": "must hold a folder for each word",
    "urbansound8k": "must hold metadata/UrbanSound8K.csv and audio/fold1 to audio/fold10",
}


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_folder_is_refused(name: str, tmp_path: Path) -> None:
    """The message names the folder and its expected content."""
    with pytest.raises(CorpusError, match=f"^{tmp_path}.*{EMPTY[name]}"):
        find(name, tmp_path)


@pytest.mark.parametrize("name", EMPTY)
def test_a_root_that_is_no_folder_is_refused(name: str, tmp_path: Path) -> None:
    """A missing folder or a file is refused."""
    (tmp_path / "file").write_text("mine")
    for root in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(CorpusError, match=f"--data-root {root}: there is no such folder"):
            find(name, root)


NO_CORPORA = (
    "nowhere",
    "cache",
    "corpus",
    "verify",
    "no such",
    "../x",
    "engine.x",
    "__init__",
    ".",
    "",
    "x\n",
    "x" * 9999,
)


@pytest.mark.parametrize("name", NO_CORPORA)
def test_a_name_that_is_no_corpus_is_refused(name: str, tmp_path: Path) -> None:
    """Missing modules, other modules and impossible names are refused, with the corpora that exist."""
    with pytest.raises(CorpusError, match=r"^corpus='.*: datasets/ has no corpus of that name; it has deepship, "):
        find(name, tmp_path)


def test_two_files_of_one_id_are_refused(tree: Tree, tmp_path: Path) -> None:
    """If two files have the same id, both are named."""
    name, root = tree
    shutil.copytree(root, tmp_path / "copy")
    first = find(name, tmp_path / "copy").recordings[0].path
    twin = first.with_suffix(".flac")
    shutil.copy(first, twin)
    if table := table_of(tmp_path / "copy"):
        line = next(line for line in table.read_text().splitlines() if line.startswith(first.name))
        table.write_text(table.read_text() + line.replace(first.name, twin.name) + "\n")
    with pytest.raises(CorpusError, match="the same recording ids; keep one file for each id") as error:
        find(name, tmp_path / "copy")
    assert str(first) in str(error.value)
    assert str(twin) in str(error.value)


def test_names_of_all_kinds_are_read(tmp_path: Path, write_wav: WriteWav) -> None:
    """Spaces, quotes, commas, other scripts, upper-case suffixes and very long names are accepted."""
    names = ("a b.wav", 'it\'s, "so".wav', "船.wav", "UPPER.WAV", "²٣.wav", "x" * 251 + ".wav", "dots.in.it.flac")
    for seed, name in enumerate(names):
        write_wav(tmp_path / "data" / "Tug" / name, seed=seed, subtype="PCM_16")
    corpus = find("deepship", tmp_path / "data", ("Tug",))
    assert {r.path.name for r in corpus.recordings} == set(names)
    assert len(scan(corpus, 0.5, tmp_path / "cache").facts) == len(names)


@pytest.mark.parametrize("container", ["WAV", "RF64", "W64", "AIFF", "FLAC"])
def test_what_long_recorders_write_is_found_and_read(container: str, tmp_path: Path) -> None:
    """Each container is found by each of its suffixes, in upper or lower case."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
    suffixes = {"AIFF": (".aif", ".aiff", ".aifc")}.get(container, (f".{container.lower()}", f".{container}"))
    for number, suffix in enumerate(suffixes):
        (tmp_path / "data/Tug").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / f"data/Tug/{number}{suffix}", noise, 8_000, format=container, subtype="PCM_16")
    corpus = find("deepship", tmp_path / "data", ("Tug",))
    assert len(scan(corpus, 0.5, tmp_path / "cache").facts) == len(suffixes)


@pytest.mark.parametrize("name", [b"line\nbreak.wav", b"no utf-8 \xff.wav", b"bell\x07.wav"])
def test_a_name_that_no_table_can_hold_is_a_bad_file(name: bytes, tmp_path: Path, write_wav: WriteWav) -> None:
    """Such a file is listed in printable form with the remedy, and can be dropped."""
    good = write_wav(tmp_path / "data/Tug/1.wav")
    shutil.copy(os.fsencode(good), os.fsencode(good.parent) + b"/" + name)
    corpus = find("deepship", tmp_path / "data", ("Tug",))
    with pytest.raises(CorpusError, match="1 bad files") as error:
        scan(corpus, 0.5, tmp_path / "cache")
    line = str(error.value).splitlines()[1]
    assert line.isprintable()
    assert line.endswith("rename it, without control characters, in UTF-8")
    assert list(scan(corpus, 0.5, tmp_path / "cache", on_bad="drop").facts) == ["Tug/1"]


def test_a_root_that_no_table_can_hold_is_refused(tmp_path: Path) -> None:
    """The folder is named in printable form."""
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    root.mkdir()
    with pytest.raises(Refusal, match=r"--data-root '.*\\udcff': rename the folder"):
        find("deepship", root)


def test_hidden_files_are_not_audio(tmp_path: Path, write_wav: WriteWav) -> None:
    """The hidden files of macOS and the content of hidden folders are ignored."""
    good = write_wav(tmp_path / "a.wav")
    write_wav(tmp_path / "._a.wav")
    write_wav(tmp_path / ".Trash" / "b.wav")
    (tmp_path / "notes.txt").write_text("mine")
    assert audio_files(tmp_path) == [good]


def test_links_to_folders_are_followed(tmp_path: Path, write_wav: WriteWav) -> None:
    """A recording on another disk is found through a link."""
    write_wav(tmp_path / "disk" / "1.wav")
    (tmp_path / "Tug").mkdir()
    (tmp_path / "Tug" / "20171104-1").symlink_to(tmp_path / "disk")
    assert audio_files(tmp_path / "Tug") == [tmp_path / "Tug" / "20171104-1" / "1.wav"]


def test_a_link_that_goes_round_is_refused(tmp_path: Path, write_wav: WriteWav) -> None:
    """A folder that links to itself is named instead of searched forever."""
    write_wav(tmp_path / "Tug" / "1.wav")
    (tmp_path / "Tug" / "again").symlink_to(tmp_path / "Tug")
    with pytest.raises(CorpusError, match=f"^{tmp_path}/Tug/again: a link to a folder above it; remove the link"):
        audio_files(tmp_path / "Tug")


@pytest.mark.slow
def test_an_unreadable_folder_is_refused(tmp_path: Path, write_wav: WriteWav) -> None:
    """A folder without permission is not treated as one without recordings."""
    closed = write_wav(tmp_path / "Tug" / "20171104-1" / "1.wav").parent
    closed.chmod(0)
    read_as_nobody = f"""
import os, pathlib
from datasets.engine.corpus import audio_files
os.seteuid(os.geteuid() or 65534)  # root may read everything
audio_files(pathlib.Path({str(tmp_path)!r}))
"""
    for folder in (tmp_path, *(parent for parent in tmp_path.parents if parent.name.startswith(("pytest-", "popen-")))):
        folder.chmod(0o755)
    answer = subprocess.run([sys.executable, "-c", read_as_nobody], cwd=ROOT, capture_output=True, text=True)
    closed.chmod(0o755)
    assert answer.stderr.splitlines()[-1].endswith(f"CorpusError: {closed}: cannot be read (Permission denied)")
