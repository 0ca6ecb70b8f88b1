"""GTZAN: folders are genres, known copies share a song, and three lists are the fault-filtered split."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from torchaudio.datasets import gtzan as reference

from datasets import gtzan
from datasets.engine import splits
from datasets.engine.corpus import Corpus, CorpusError, Recording, find
from datasets.synthetic.gtzan import write

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden" / "rethinking_cnns.json"


def whole(*left_out: str, labels: tuple[str, ...] = gtzan.CLASS_NAMES) -> Corpus:
    """The corpus of all excerpts, without their files."""
    names = [f"{genre}.{number:05d}" for genre in labels for number in range(100)]
    recordings = tuple(
        Recording(
            f"{n.partition('.')[0]}/{n}", Path(f"{n}.wav"), n.partition(".")[0], {"song": gtzan.SONG_OF.get(n, n)}
        )
        for n in names
        if n not in left_out
    )
    return Corpus("gtzan", Path("gtzan"), labels, recordings)


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    """The three lists, each line as another program writes it; the path of the first."""
    forms = ("{0}/{1}.wav", "{1}", "{0}\\{1}.wav")
    for form, ours, theirs in zip(forms, ("train", "valid", "test"), ("train", "valid", "test"), strict=True):
        names = getattr(reference, f"filtered_{theirs}")
        lines = [form.format(name.partition(".")[0], name) for name in names]
        (tmp_path / f"{ours}_filtered.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "train_filtered.txt"


def test_a_folder_is_a_genre(tmp_path: Path) -> None:
    """Also below `genres/`, as the archive has it; pictures beside them are not looked at."""
    write(tmp_path / "own", num_per_genre=1, num_genres=2, seconds=0.5, rate_hz=8_000)
    corpus = find("gtzan", tmp_path / "own")
    assert [(r.id, r.label, dict(r.groups)) for r in corpus.recordings] == [
        ("blues/blues.00000", "blues", {"song": "blues.00000"}),
        ("classical/classical.00000", "classical", {"song": "classical.00000"}),
    ]
    for name in gtzan.FOLDERS:
        (tmp_path / name).mkdir()
        (tmp_path / name / name).symlink_to(tmp_path / "own")
        (tmp_path / name / "images").mkdir()
        (tmp_path / name / "images" / "blues.wav").touch()
        below = find("gtzan", tmp_path / name)
        assert [r.id for r in below.recordings] == [r.id for r in corpus.recordings]
        assert below.problems == ()


def test_a_file_in_another_place_is_a_problem(tmp_path: Path) -> None:
    """A file of one genre in the folder of another, or with another name."""
    write(tmp_path / "own", num_per_genre=1, num_genres=2, seconds=0.5, rate_hz=8_000)
    for name in ("classical/blues.00001.wav", "blues/mine.wav"):
        (tmp_path / "own" / name).touch()
    problems = find("gtzan", tmp_path / "own").problems
    assert sorted(p.path.name for p in problems) == ["blues.00001.wav", "mine.wav"]
    assert problems[0].reason == "is not GENRE/GENRE.000NN.wav; move or rename it"


def test_copies_are_one_song(tmp_path: Path) -> None:
    """They are named in the notes, and `--split song` keeps them in one role, though one has two genres."""
    write(tmp_path / "own", num_per_genre=1, seconds=0.5, rate_hz=8_000)
    for name in ("metal/metal.00058.wav", "rock/rock.00016.wav", "pop/pop.00054.wav"):
        (tmp_path / "own" / name).write_bytes((tmp_path / "own" / "rock" / "rock.00000.wav").read_bytes())
    corpus = find("gtzan", tmp_path / "own")
    assert corpus.notes == ("1 pairs of files are copies: metal.00058 = rock.00016",)
    songs = {r.path.stem: r.groups["song"] for r in corpus.recordings}
    assert songs["rock.00016"] == songs["metal.00058"] == "metal.00058"
    split = splits.make(whole(), {r.id: 1 for r in whole().recordings}, "song")
    roles = {name.partition("/")[2]: role for name, role in split.roles.items()}
    assert all(roles[first] == roles[second] for first, second in gtzan.COPIES)


def test_the_filtered_lists_are_the_published_split(lists: Path) -> None:
    """443, 197 and 290 excerpts; the other 70 have no role, and of each pair of copies at most one has."""
    corpus = whole()
    split = splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "published", file=lists)
    assert Counter(split.roles.values()) == {"train": 443, "validation": 197, "test": 290}
    assert split.notes == ("70 files are in no list of the fault-filtered split, and left out",)
    named = {name.partition("/")[2] for name in split.roles}
    assert all(len(named & set(pair)) == 1 for pair in gtzan.COPIES)
    splits.check(split, corpus, {r.id: r.groups["song"] for r in corpus.recordings})


def test_a_file_that_cannot_be_read_is_missing_from_the_split(lists: Path) -> None:
    """jazz.00054 is in the training list; without it, 442 train, and the notes say so. Other genres are not missed."""
    corpus = whole("jazz.00054", labels=("jazz", "rock"))
    split = gtzan.published_split(corpus, {}, 30.0, lists)
    assert split.notes[1] == "1 files of the split are missing: jazz.00054"
    everything = gtzan.published_split(whole("jazz.00054"), {}, 30.0, lists)
    assert Counter(everything.roles.values())["train"] == 442


def test_another_list_is_refused(lists: Path) -> None:
    """A name too few, a missing list, and no list at all."""
    lists.write_text("\n".join(lists.read_text().splitlines()[1:]))
    with pytest.raises(
        CorpusError, match=r"train_filtered.txt: is not the published list \(442 names, and that has 443"
    ):
        gtzan.published_split(whole(), {}, 30.0, lists)
    lists.unlink()
    with pytest.raises(CorpusError, match=r"cannot be read .*; the three lists must be in one folder: train_filtered"):
        gtzan.published_split(whole(), {}, 30.0, lists)
    with pytest.raises(CorpusError, match=r"name the authors' file with --split-file train_filtered.txt"):
        splits.check_name("published", "gtzan")


@pytest.mark.data
@pytest.mark.skipif(not GOLDEN.is_file(), reason="the measured values are not here")
def test_counts_hashes_and_copies_are_those_that_were_measured() -> None:
    """On the lists as torchaudio has them, and on the hashes of the whole corpus."""
    golden = json.loads(GOLDEN.read_text())
    filtered = golden["gtzan_filtered"]
    for (_, _, number, sha256), name in zip(gtzan.LISTS, ("train", "valid", "test"), strict=True):
        assert (number, sha256) == (
            filtered[name]["count"],
            filtered["sha256_of_sorted_names_joined_by_newline"][name],
        )
    measured = {tuple(sorted(pair)) for pair in golden["folds"]["gtzan"]["groups_with_the_same_md5"]}
    assert set(gtzan.COPIES) == measured
