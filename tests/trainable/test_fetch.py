"""A checkpoint gets its name once it is complete and verified; where there is no network, commands are printed."""

from __future__ import annotations

import dataclasses
import hashlib
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from trainable import fetch
from trainable.network.card import Card, card
from trainable.weights.weights import MissingWeights, WrongWeights

BYTES = bytes(range(256)) * 100
DIGEST = hashlib.sha256(BYTES).hexdigest()
CARD = card("efficientat/mn04_as", 32_000)
COPY = "import shutil, sys; shutil.copy(sys.argv[1], sys.argv[2])"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What is published."""
    path = tmp_path / "published"
    path.write_bytes(BYTES)
    return path


def published(command: str, num_bytes: int | None = len(BYTES), sha256: str | None = DIGEST) -> Card:
    passport = dataclasses.replace(CARD.passport, command=command, num_bytes=num_bytes, sha256=sha256)
    return dataclasses.replace(CARD, passport=passport)


def copying(source: Path) -> str:
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(COPY)} {shlex.quote(str(source))} {{path}}"


def test_a_file_is_downloaded_and_verified(source: Path, tmp_path: Path) -> None:
    """It has the name that studies look for, and nothing else is left in the folder."""
    path = fetch.fetch(published(copying(source)), tmp_path / "weights of mine")
    assert path.read_bytes() == BYTES
    assert [p.name for p in path.parent.iterdir()] == ["mn04_as_mAP_432.pt"]


def test_what_is_there_is_not_got_again(source: Path, tmp_path: Path) -> None:
    """No command is run."""
    path = fetch.fetch(published(copying(source)), tmp_path)
    assert fetch.fetch(published("no-such-program {path}"), tmp_path) == path


@pytest.mark.parametrize("differs", [{"num_bytes": 7}, {"sha256": "0" * 64}])
def test_what_differs_has_no_name(source: Path, tmp_path: Path, differs: dict[str, object]) -> None:
    """By its size or by its digest; and it is told what it has and what it should have."""
    told = published(copying(source), **differs)  # type: ignore[arg-type]
    with pytest.raises(WrongWeights, match=rf"has 25,600 bytes and sha256 {DIGEST} instead of"):
        fetch.fetch(told, tmp_path)
    assert not (tmp_path / told.passport.file).exists()


def test_a_damaged_file_that_was_there_is_told(source: Path, tmp_path: Path) -> None:
    """It is neither replaced nor taken."""
    (tmp_path / CARD.passport.file).write_bytes(BYTES[1:])
    with pytest.raises(WrongWeights, match=r"has 25,599 bytes .*; remove it, and get it again"):
        fetch.fetch(published(copying(source)), tmp_path)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("no-such-program {path}", "no-such-program: cannot be run"),
        (f"{shlex.quote(sys.executable)} -c 'raise SystemExit(6)' {{path}}", "ended with code 6"),
    ],
)
def test_a_machine_without_a_network_is_told_the_commands(command: str, told: str, tmp_path: Path) -> None:
    """For another machine, with the place and the digest; and nothing is left that could be taken for weights."""
    with pytest.raises(MissingWeights) as caught:
        fetch.fetch(published(command), tmp_path)
    for words in (told, "run this where there is a network", f"mkdir -p {tmp_path}", "sha256sum --check"):
        assert words in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_whole_download_is_taken(tmp_path: Path) -> None:
    """One that was killed before it had its name."""
    (tmp_path / f"{CARD.passport.file}.part").write_bytes(BYTES)
    path = fetch.fetch(published("no-such-program {path}"), tmp_path)
    assert path.read_bytes() == BYTES


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
def test_curl_goes_on_where_it_stopped(source: Path, tmp_path: Path) -> None:
    """With the command that the family's own card has."""
    address = CARD.passport.command.rpartition(" ")[2]
    command = CARD.passport.command.replace(address, source.as_uri())
    (tmp_path / f"{CARD.passport.file}.part").write_bytes(BYTES[:10_000])
    assert fetch.fetch(published(command), tmp_path).read_bytes() == BYTES


def test_each_file_of_a_network_is_wanted_once() -> None:
    """CNN14 has one for each of three rates; a network for pictures has one."""
    assert [found.pretrain_hz for found in fetch.cards("cnn14")] == [8_000, 16_000, 32_000]
    assert [found.pretrain_hz for found in fetch.cards("cnn14", 16_000)] == [16_000]
    assert len(fetch.cards("timm/resnet50.a1_in1k")) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mn04"], "did you mean efficientat/mn04_as"),
        (["efficientat/mn06_as"], "there is no such EfficientAT"),
        (["cnn10", "--pretrain-hz", "8000"], "cnn10 was pre-trained at 32000 Hz"),
        (["baseline/bands"], "nothing was published for it"),
        (["cnn14", "--weights-dir", "\0"], "--weights-dir"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is downloaded."""
    assert fetch.main(words) == 2
    assert told in capsys.readouterr().err


def test_commands_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is run."""
    assert fetch.main(["efficientat/mn05_as", "--print", "--weights-dir", str(tmp_path)]) == 0
    assert f"-o {tmp_path}/mn05_as_mAP_443.pt https://github.com/fschmid56/" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []
