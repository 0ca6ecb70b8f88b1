"""A scan can be stored and read back, and another node builds the same clips from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datasets.engine import cache, manifest, prepare
from datasets.engine.clips import open_clips
from datasets.engine.corpus import CorpusError
from datasets.engine.manifest import clips_at_hand
from datasets.engine.prepare import Source, Wanted
from datasets.engine.scan import Scan
from datasets.synthetic.deepship import write as write_deepship

CLIP_S = 2.0


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    """A scan of twelve short recordings."""
    write_deepship(tmp_path / "ships", num_per_class=3, seconds=(2, 3), rate_hz=8_000)
    wanted = Wanted("deepship", (), "recording", CLIP_S)
    return prepare.prepare(wanted, Source(tmp_path / "ships", tmp_path / "here")).scan


def plain(items, total, what):  # type: ignore[no-untyped-def]
    """Returns the items without showing progress."""
    return items


def test_a_scan_comes_back_as_it_was(scan: Scan, tmp_path: Path) -> None:
    """Files, groups, facts and notes are read back, under the scan's hash."""
    path = manifest.write(scan, tmp_path / "scans")
    assert path.stem == scan.sha256[:16]
    assert manifest.read(path) == scan


def test_another_node_makes_the_same_clips(scan: Scan, tmp_path: Path) -> None:
    """It builds them in its own cache, under the name that the driver expects."""
    built = cache.build(scan, [4_000], CLIP_S, tmp_path / "here")[4_000]
    expected = cache.entry(scan, 4_000, CLIP_S, tmp_path / "there")
    path = manifest.write(scan, tmp_path / "scans")
    assert clips_at_hand(expected, path, CLIP_S, 4_000, plain) == expected
    assert expected.name == built.name
    assert np.array_equal(open_clips(expected).wave, open_clips(built).wave)


def test_what_is_there_is_taken(scan: Scan, tmp_path: Path) -> None:
    """An existing entry is used without reading the scan; without a scan nothing is built."""
    (tmp_path / "there").mkdir()
    assert clips_at_hand(tmp_path / "there", tmp_path / "no.json", CLIP_S, 4_000, plain) == tmp_path / "there"
    assert clips_at_hand(tmp_path / "none", None, CLIP_S, 4_000, plain) == tmp_path / "none"
    assert not (tmp_path / "none").exists()


def test_a_file_that_has_changed_since_makes_no_clips(scan: Scan, tmp_path: Path) -> None:
    """The node refuses it by name; otherwise trials would use other data than their runs say."""
    path = manifest.write(scan, tmp_path / "scans")
    wav = scan.corpus.recordings[0].path
    wav.write_bytes(wav.read_bytes()[:-2] + b"\1\1")
    with pytest.raises(CorpusError, match=wav.name):
        clips_at_hand(cache.entry(scan, 4_000, CLIP_S, tmp_path / "there"), path, CLIP_S, 4_000, plain)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "label", "gone"])
def test_a_damaged_scan_is_refused(scan: Scan, tmp_path: Path, damage: str) -> None:
    """The message names the file, and nothing is built from it."""
    path = manifest.write(scan, tmp_path / "scans")
    text = path.read_text()
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(
            text[: len(text) // 2] if damage == "cut" else text.replace('"label": "Tug"', '"label": "Cargo"')
        )
    with pytest.raises(CorpusError, match=path.name):
        manifest.read(path)
