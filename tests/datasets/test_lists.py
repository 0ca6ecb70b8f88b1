"""Lists of `recording,role`: every spelling that programs write, names as people write them, and lists of two roles."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from datasets.engine import splits
from datasets.engine.corpus import Corpus, CorpusError, Recording, find
from datasets.engine.splits import Split

WriteWav = Callable[..., Path]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
ROLES = {
    "yes/1": "train",
    "yes/2": "validation",
    "yes/3": "test",
    "no/1": "train",
    "no/2": "validation",
    "no/3": "test",
}
PLAIN = "recording,role\n" + "".join(f"{i},{role}\n" for i, role in ROLES.items())


@pytest.fixture
def corpus(tmp_path: Path, write_wav: WriteWav) -> Corpus:
    """Three files of two classes, in a folder of one's own."""
    for number, name in enumerate(ROLES):
        write_wav(tmp_path / "mine" / f"{name}.wav", seed=number)
    return find("folder", tmp_path / "mine")


@pytest.fixture
def listed(tmp_path: Path, corpus: Corpus) -> Callable[..., Split]:
    """A function that splits the corpus by a list of this content."""

    def split(content: str, encoding: str = "utf-8", of: Corpus = corpus) -> Split:
        file = tmp_path / "list.csv"
        file.write_bytes(content.encode(encoding))
        made = splits.make(of, {r.id: 1 for r in of.recordings}, "published", file=file)
        splits.check(made, of, {r.id: r.id for r in of.recordings})
        return made

    return split


def of_folder(groups: Callable[[int], Mapping[str, str]], root: Path, num: int = 40) -> Corpus:
    """A corpus of two classes with these groups; file n is `n.wav`, of class a where n is even."""
    recordings = [Recording(f"{n:02}", root / f"{n:02}.wav", "ab"[n % 2], groups(n)) for n in range(num)]
    return Corpus("folder", root, ("a", "b"), tuple(recordings))


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (PLAIN, "utf-8"),
        (PLAIN, "utf-8-sig"),
        (PLAIN, "utf-16"),
        (PLAIN.replace("\n", "\r\n"), "utf-8-sig"),
        (PLAIN.replace(",", ";"), "utf-8"),
        (PLAIN.replace(",", "\t"), "utf-8"),
        (PLAIN.replace("/", "\\"), "utf-8"),
        (PLAIN.replace("yes/1", '"yes/1"').replace("recording", '"recording"'), "utf-8"),
        (PLAIN.replace(",train", ".wav,train").replace(",test", ".FLAC , Test"), "utf-8"),
        (PLAIN.replace("yes/", "./yes/").replace("no/", "data\\mine\\no\\"), "utf-8"),
        (PLAIN.replace("validation", "val").replace("test", "eval").replace("train", "Training"), "utf-8"),
        (PLAIN.replace("validation", "dev").replace("recording,role", "filename,split") + "\n,\n", "utf-8"),
        ("n,role,file\n" + "".join(f"1,{role},{i}.wav\n" for i, role in ROLES.items()), "utf-8"),
        (PLAIN + "yes/1,train\n", "utf-8"),
    ],
)
def test_a_list_is_read_as_programs_write_it(content: str, encoding: str, listed: Callable[..., Split]) -> None:
    """Marks, line ends, separators, quotes, slashes, suffixes, longer paths, words for roles, further columns."""
    split = listed(content, encoding)
    assert dict(split.roles) == ROLES
    assert (split.name, split.notes) == ("published", ())


def test_a_list_of_one_own_has_the_hash_of_the_same_roles(listed: Callable[..., Split]) -> None:
    """How it is written is no part of a trial's identity; a role is."""
    one = listed(PLAIN).sha256
    assert one == listed(PLAIN.replace(",", ";"), "utf-16").sha256
    assert one != listed(PLAIN.replace("yes/1,train\nyes/2,validation", "yes/2,train\nyes/1,validation")).sha256


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "its first line must name the columns, recording,role"),
        (PLAIN.split("\n", 1)[1], "its first line must name the columns, recording,role"),
        (
            PLAIN + "yes/4,holdout\n",
            "line 8 is 'yes/4,holdout'; it needs recording,role, and train, validation or test",
        ),
        (PLAIN + "yes/4\n", "line 8 is 'yes/4'; it needs recording,role"),
        (PLAIN.replace("no/3,test\n", ""), "has no role for no/3; add them, or take the files out of the folder"),
        (PLAIN + "yes/4,test\n", "names yes/4, which the folder does not have; correct or remove the lines"),
        (PLAIN + "maybe/1,test\n", "names maybe/1, which the folder does not have"),
        (PLAIN.replace("yes/1", "1"), r"1 can be no/1, yes/1; write more of its path"),
        (PLAIN + "yes/1,test\n", "line 8 has yes/1 for test, an earlier one for train"),
        (PLAIN + "yes/1.wav,test\n", "names yes/1 twice, for train and for test; leave one out"),
        (PLAIN.replace(",test", ",train"), "has no recording for test; list some"),
        (PLAIN.replace(",train", ",val"), "has no recording for train; list some"),
    ],
)
def test_what_is_wrong_with_a_list_is_told(
    content: str, reason: str, listed: Callable[..., Split], tmp_path: Path
) -> None:
    """The message has the file, what it found, and what to do."""
    with pytest.raises(CorpusError, match=f"--split-file {tmp_path}/list.csv: .*{reason}"):
        listed(content)


def test_many_names_are_cut(listed: Callable[..., Split]) -> None:
    """Twenty are named."""
    with pytest.raises(CorpusError, match=r"names x00, .*, x19 and 10 more, which the folder does not have"):
        listed(PLAIN + "".join(f"x{n:02},test\n" for n in range(30)))


def test_files_of_other_classes_may_be_listed(
    listed: Callable[..., Split], corpus: Corpus, write_wav: WriteWav
) -> None:
    """With --classes the rest of the list is about files that are there, and is noted."""
    for number in range(1, 4):
        write_wav(corpus.root / "maybe" / f"{number}.wav", seed=10 + number)
    of = find("folder", corpus.root, ("no", "yes"))
    split = listed(PLAIN + "maybe/1,train\nmaybe/2.wav,test\n", of=of)
    assert dict(split.roles) == ROLES
    assert split.notes == ("the published split names 2 files more, which are left out here",)


def test_a_corpus_with_its_own_split_takes_a_list_too(tmp_path: Path) -> None:
    """DeepShip reads a list as well as its authors' file; other files are still refused in its own words."""
    files = {f"{ship}/{n}": ("train", "validation", "test")[n % 3] for ship in ("Tanker", "Tug") for n in range(6)}
    recordings = tuple(Recording(i, tmp_path / f"{i}.wav", i.split("/")[0], {"vessel": i}) for i in sorted(files))
    corpus = Corpus("deepship", tmp_path, ("Tanker", "Tug"), recordings)
    file = tmp_path / "list.tsv"
    file.write_text("recording\trole\n" + "".join(f"{i}.wav\t{role}\n" for i, role in files.items()))
    assert dict(splits.make(corpus, dict.fromkeys(files, 1), "published", file=file).roles) == files
    file.write_text("neither\n")
    with pytest.raises(CorpusError, match=r"neither the authors' split_indices\.txt nor its csv, nor recording,role"):
        splits.make(corpus, dict.fromkeys(files, 1), "published", file=file)


def test_without_a_file_a_list_is_asked_for(corpus: Corpus) -> None:
    """A corpus without a published split has one if a file lists it."""
    with pytest.raises(
        CorpusError, match=r"split='published': folder can be split by .*; for published, list the roles"
    ):
        splits.check_name("published", "folder", corpus.group_names)
    splits.check_name("published", "folder", corpus.group_names, Path("list.csv"))


class TestTwoRoles:
    """Lists of train and test: validation is an eighth of train, cut as the list itself was cut."""

    def cut(self, corpus: Corpus, is_test: Callable[[int], bool], folder: Path) -> Split:
        """The split by a list of these test recordings."""
        file = folder / "two.csv"
        lines = [f"{r.id}.wav,{'test' if is_test(n) else 'train'}\n" for n, r in enumerate(corpus.recordings)]
        file.write_text("file,split\n" + "".join(lines))
        split = splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "published", file=file)
        splits.check(split, corpus, {r.id: r.id for r in corpus.recordings})
        assert {i for i, role in split.roles.items() if role == "test"} == {
            r.id for n, r in enumerate(corpus.recordings) if is_test(n)
        }
        return split

    def test_speakers_that_the_list_keeps_apart_are_kept_apart(self, tmp_path: Path) -> None:
        """Two of ten speakers are for test: one whole speaker of the other eight is for validation.

        Sexes, the coarser group, stand in train and test, so validation need not keep them apart.
        """
        corpus = of_folder(lambda n: {"speaker": f"s{n // 4}", "sex": "mf"[n // 4 % 2], "take": str(n)}, tmp_path)
        split = self.cut(corpus, lambda n: n >= 32, tmp_path)
        chosen = {r.groups["speaker"] for r in corpus.recordings if split.roles[r.id] == "validation"}
        assert len(chosen) == 1
        assert list(split.roles.values()).count("validation") == 4
        (note,) = split.notes
        assert note.startswith(
            "the published split has no validation: 4 of its 32 training recordings are taken for it"
        )
        assert note.endswith(", whole speaker groups")

    def test_where_the_list_cuts_speakers_so_does_validation(self, tmp_path: Path) -> None:
        """Every speaker is in train and in test: recordings are taken, of both classes."""
        corpus = of_folder(lambda n: {"speaker": f"s{n % 5}"}, tmp_path)
        split = self.cut(corpus, lambda n: n >= 32, tmp_path)
        assert list(split.roles.values()).count("validation") == 4
        assert split.notes == (
            "the published split has no validation: 4 of its 32 training recordings are taken for it",
        )

    def test_the_coarsest_is_taken(self, tmp_path: Path) -> None:
        """Of days and hours, which are both kept apart, the days."""
        corpus = of_folder(lambda n: {"day": f"d{n // 5}", "hour": f"h{n // 3}"}, tmp_path, num=60)
        assert "whole day groups" in self.cut(corpus, lambda n: n >= 45, tmp_path).notes[0]

    def test_three_places_are_too_few_to_give_one(self, tmp_path: Path) -> None:
        """A third of training would be too much for validation."""
        corpus = of_folder(lambda n: {"place": f"p{n // 10}"}, tmp_path)
        assert "whole" not in self.cut(corpus, lambda n: n >= 30, tmp_path).notes[0]


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the recordings are not here")
def test_the_real_folds_of_esc10_as_a_list_of_two_roles(tmp_path: Path) -> None:
    """The list has the suffix .wav for files that are .ogg here; a whole fold of the four is for validation."""
    corpus = find("esc50", DATA / "esc10")
    file = tmp_path / "two.csv"
    lines = [f"audio/{r.id}.wav;{'test' if r.groups['fold'] == '5' else 'train'}\n" for r in corpus.recordings]
    file.write_text("filename;subset\n" + "".join(lines))
    split = splits.make(corpus, {r.id: 1 for r in corpus.recordings}, "published", file=file)
    assert {r.groups["fold"] for r in corpus.recordings if split.roles[r.id] == "validation"} == {"4"}
    assert split.counts({r.id: 1 for r in corpus.recordings})["validation"] == (80, 80)
