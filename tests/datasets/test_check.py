"""`python -m datasets.check`: one page of 80 columns says how a corpus is understood, and what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.check import main
from datasets.synthetic.deepship import write as write_deepship
from datasets.synthetic.esc50 import write as write_esc50

WriteWav = Callable[..., Path]
DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture
def root(tmp_path: Path, write_wav: WriteWav) -> Path:
    """Four speakers say yes and no, twice each."""
    for number in range(16):
        place = f"{('yes', 'no')[number % 2]}/s{number // 4}/{number}.wav"
        write_wav(tmp_path / "mine" / place, seconds=0.25 + number / 100, seed=number)
    return tmp_path / "mine"


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """A function that gives the exit code and what was printed; every line but paths and commands fits a terminal."""

    def tell(corpus: str, root: Path, *words: str) -> tuple[int, str]:
        code = main([corpus, "--data-root", str(root), *words])
        captured = capsys.readouterr()
        wide = [line for line in captured.out.splitlines() if len(line) > 80 and "/" not in line and "-m" not in line]
        assert wide == []
        return code, captured.out + captured.err

    return tell


def test_a_good_folder_is_told_in_full(root: Path, told: Callable[..., tuple[int, str]]) -> None:
    """Classes, clips, durations, rates, groups with what straddles, and the command of a study."""
    code, page = told("folder", root)
    assert code == 0
    rows = [" ".join(line.split()) for line in page.splitlines()]
    assert "files 16 of 2 classes; 16 can be read" in rows
    assert "durations 0.25 to 0.40 s, median 0.33 s, 0.00 h in all" in rows
    assert "clips 16 of 0.25 s (at most this, for every file to have one)" in rows
    assert {"rates 8000 Hz", "formats wav", "channels 1", "no 8 8 2.6", "yes 8 8 2.6"} <= set(rows)
    assert any(row.startswith("folder1 4 4 ") for row in rows)
    assert any(row.startswith("--split folder1 train 8 files, 8 clips; validation 4 files, 4") for row in rows)
    assert "--split recording:K/5 K = 1 to 5, test 3 to 4 clips each; N can be 3 to 16" in rows
    assert "--split folder1:K/4 K = 1 to 4, test 4 clips each; N can be 3 to 4" in rows
    assert rows[-1] == (
        f"python -m sweeps.finetune --data-root {root} --set corpus=folder --set clip_s=0.25 --split folder1"
    )
    assert "\nodd\n" not in page


def test_all_that_is_odd_is_told_at_once(root: Path, write_wav: WriteWav, told: Callable[..., tuple[int, str]]) -> None:
    """Empty, tiny and twin classes, a comma, rates, formats, copies, and files that cannot be read."""
    (root / "maybe").mkdir()
    write_wav(root / "Yes" / "1.wav", seed=60)
    write_wav(root / "dog, small" / "1.wav", rate_hz=16_000, seed=61)
    soundfile.write(root / "no" / "cut.ogg", 0.1 * np.random.default_rng(0).standard_normal(8_000), 8_000)
    (root / "no" / "text.wav").write_text("mine")
    shutil.copy(root / "yes" / "s0" / "0.wav", root / "yes" / "copy.wav")
    code, page = told("folder", root)
    flat = " ".join(page.split())
    assert code == 1
    for words in (
        "no audio for class maybe; add recordings",
        "classes 'Yes' and 'yes' differ only by case or blanks; give them one name",
        f"bad file {root}/no/text.wav: neither WAV, RF64, W64, AIFF, FLAC nor Ogg",
        "class Yes (1), dog, small (1) has fewer files than there are roles",
        """class 'dog, small' has a comma: --classes '"dog, small"' names it""",
        "2 sampling rates: a network may learn the rate instead of the class",
        "2 formats (.ogg, .wav)",
        "2 files (yes/copy, yes/s0/0) are the same audio as another",
        "leave them out: --bad-files drop",
    ):
        assert words in flat, words


def test_clips_of_the_length_that_is_asked_for(root: Path, told: Callable[..., tuple[int, str]]) -> None:
    """Shorter files are bad today; the longest possible clip is told."""
    code, page = told("folder", root, "--clip-s", "0.3")
    flat = " ".join(page.split())
    assert code == 1
    assert "5 files (no/s0/1, no/s0/3, yes/s0/0, yes/s0/2, yes/s1/4) are shorter than a clip of 0.3 s" in flat
    assert "choose a clip_s of at most 0.25" in flat


def test_names_tell_classes_and_groups(root: Path, told: Callable[..., tuple[int, str]]) -> None:
    """The words of the study have the pattern, quoted for a shell."""
    _, page = told("folder", root, "--groups", r"(?P<take>\d)", "--classes", "no,yes")
    assert r"--classes no,yes --groups '(?P<take>\d)'" in page


@pytest.mark.parametrize("name", ["deepship", "esc50"])
def test_any_corpus_can_be_checked(name: str, tmp_path: Path, told: Callable[..., tuple[int, str]]) -> None:
    """With its own groups, and the published split where it needs no file."""
    if name == "deepship":
        write_deepship(tmp_path / "x", num_per_class=6, seconds=(0.5, 1), rate_hz=4_000)
    else:
        write_esc50(tmp_path / "x", num_per_class=10, num_classes=2, rate_hz=16_000)
    code, page = told(name, tmp_path / "x")
    assert code == 0
    assert ("--split vessel" if name == "deepship" else "--split published") in page


def test_what_cannot_be_is_refused(root: Path, tmp_path: Path, told: Callable[..., tuple[int, str]]) -> None:
    """With exit code 2 and one line."""
    assert told("folder", tmp_path / "nowhere") == (2, f"--data-root {tmp_path}/nowhere: there is no such folder\n")
    assert told("mine", root)[1].startswith("corpus='mine': datasets/ has no corpus of that name")
    assert told("folder", root, "--clip-s", "nan")[0] == 2
    assert told("folder", root, "--classes", "perhaps") == (
        2, "--classes: there is no class perhaps; there are no, yes\n"
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real recordings are not here")
def test_real_digits(told: Callable[..., tuple[int, str]]) -> None:
    """3,000 files in one page; each speaker says every digit, and can be kept in one role."""
    code, page = told("folder", DATA / "fsdd", "--groups", r"(?P<label>\d)_(?P<speaker>\w+)_")
    assert code == 0
    assert "files      3,000 of 10 classes; 3,000 can be read" in page
    assert "--split speaker" in page
    assert len(page.splitlines()) < 40


def test_a_list_of_roles_is_tried(root: Path, tmp_path: Path, told: Callable[..., tuple[int, str]]) -> None:
    """With --split-file the published split is one of those that are possible, and a wrong list says why not."""
    ids = sorted(path.relative_to(root) for path in root.rglob("*.wav"))
    file = tmp_path / "list.csv"
    file.write_text("recording,role\n" + "".join(f"{i},{'test' if 's3' in i.parts else 'train'}\n" for i in ids))
    code, page = told("folder", root, "--split-file", str(file))
    flat = " ".join(page.split())
    assert code == 0
    assert "--split published train 10 files, 10 clips; validation 2 files, 2 clips; test 4 files, 4 clips; the" in flat
    assert "the published split has no validation: 2 of its 12 training recordings are taken for it" in flat
    assert f"--split-file {file} --set clip_s=0.25 --split published" in flat
    file.write_text("recording,role\n")
    _, page = told("folder", root, "--split-file", str(file))
    flat = " ".join(page.split())
    assert f"not published --split-file {file}: has no role for no/s0/1, no/s0/3, " in flat
    assert "to do first: - correct the list of --split-file, as the line under splits says" in flat


def test_pieces_near_names_and_seen_vessels_are_told(
    tmp_path: Path, write_wav: WriteWav, told: Callable[..., tuple[int, str]]
) -> None:
    """Recordings cut beforehand, one ship under two spellings, and how much of each split's test is trained on."""
    for label in ("Tanker", "Tug"):
        rows = []
        for n in range(1, 9):
            for k in (1, 2):
                write_wav(tmp_path / label / f"{n}-Segment_{k}.wav", seconds=0.5, seed=100 * n + 10 * k + len(label))
            ship = f"SEA RAVEN{'S' * (n % 2)}" if label == "Tug" else "OTTER"
            rows.append(f"{n},52,{ship},201711{n:02},101500,60,1-2,")
        (tmp_path / label / f"{label.lower()}-metafile").write_text("\n".join(rows) + "\n")
    _, page = told("deepship", tmp_path, "--classes", "Tanker,Tug")
    text = " ".join(page.split())
    assert "pieces 32 of 16 recordings, cut beforehand" in text
    assert "perhaps the same vessel under two spellings, which count as two: 'SEA RAVEN' and 'SEA RAVENS'" in text
    assert "100 % of test clips are of a vessel that is also in training" in text
    assert "N can be 3 to 16" in text  # recordings and not pieces
