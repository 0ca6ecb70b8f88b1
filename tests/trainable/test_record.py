"""A trial has one result or none: the first that is committed, complete, and the same for ever."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import signal
import struct
import threading
from pathlib import Path

import pytest

from trainable.result import record
from trainable.result.record import DamagedRecord, Record

FILES = {"best.pt": b"weights", "best.pt.sha256": b"their hash", "predictions.npz": b"logits"}
AWKWARD = [0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e-05, 2**53 + 2.0, math.pi, math.inf, math.nan]


def attempt(folder: Path, name: str = "one", files: dict[str, bytes] | None = None) -> Record:
    """An uncommitted result whose files are in the folder of its attempt."""
    files = FILES if files is None else files
    place = folder / f"{record.ATTEMPT}{name}"
    place.mkdir(parents=True)
    for file, data in files.items():
        (place / file).write_bytes(data)
    return Record(
        key="0123456789ab",
        config={"corpus": "toy", "seed": 1, "lr": 1e-05},
        tags={"sweep": "toy", "corpus_notes": "naïve “quotes”\n"},
        scores={"test_accuracy": 2 / 3, "best_epoch": 1, "num_parameters": 81_000_000},
        history=[{"epoch": 1, "val_loss": 0.1 + 0.2, "epoch_s": 1e-05}],
        provenance={"device": "CPU"},
        attempt=place.name,
        files={file: hashlib.sha256(data).hexdigest() for file, data in files.items()},
        sizes={file: len(data) for file, data in files.items()},
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, by path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def committed(tmp_path: Path) -> Record:
    """The result of `tmp_path`, with its files in place."""
    own_record = record.commit(tmp_path, attempt(tmp_path))
    record.put_in_place(tmp_path, own_record)
    return own_record


def test_what_was_committed_is_read(tmp_path: Path, committed: Record) -> None:
    """A record is read back unchanged, with its files and nothing else beside it."""
    assert record.read(tmp_path) == committed
    assert contents(tmp_path) == {**FILES, record.FILE: (tmp_path / record.FILE).read_bytes()}
    assert not list(tmp_path.glob(f"{record.ATTEMPT}*"))
    record.check_files(tmp_path, committed)


def test_a_trial_that_did_not_end_has_no_record(tmp_path: Path) -> None:
    """This includes results that were written but not committed, and a missing folder."""
    attempt(tmp_path)
    assert record.read(tmp_path) is None
    assert record.read(tmp_path / "nowhere") is None


def test_the_first_commit_counts(tmp_path: Path, committed: Record) -> None:
    """A second attempt gets the record of the first; record and files do not change by a byte."""
    before = contents(tmp_path)
    second = attempt(tmp_path, "two", {name: data[::-1] for name, data in FILES.items()})
    assert record.commit(tmp_path, second) == committed != second
    record.put_in_place(tmp_path, committed)
    assert contents(tmp_path) == before


def test_the_first_commit_counts_though_its_files_are_not_in_place(tmp_path: Path) -> None:
    """The second attempt puts the files of the first in place, and none of its own."""
    first = record.commit(tmp_path, attempt(tmp_path))
    second = attempt(tmp_path, "two", {name: data[::-1] for name, data in FILES.items()})
    record.put_in_place(tmp_path, record.commit(tmp_path, second))
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    record.check_files(tmp_path, first)


def test_of_attempts_at_the_same_moment_one_counts(tmp_path: Path) -> None:
    """Eight simultaneous attempts agree on one record and its files, twenty times in a row."""
    for turn in range(20):
        folder = tmp_path / str(turn)
        records = [attempt(folder, str(n), {"best.pt": str(n).encode()}) for n in range(8)]
        start, agreed = threading.Barrier(len(records)), []

        def race(one: Record, folder: Path = folder, start: threading.Barrier = start, said: list = agreed) -> None:
            start.wait()
            said.append(record.commit(folder, one))

        threads = [threading.Thread(target=race, args=(one,)) for one in records]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert len(agreed) == 8
        assert len({one.sha256 for one in agreed}) == 1

        def tidy(one: Record = agreed[0], folder: Path = folder, start: threading.Barrier = start) -> None:
            start.wait()
            record.put_in_place(folder, one)

        threads = [threading.Thread(target=tidy) for _ in records]
        [t.start() for t in threads]
        [t.join() for t in threads]
        record.check_files(folder, agreed[0])
        assert sorted(contents(folder)) == ["best.pt", record.FILE]


def test_numbers_come_back_bit_by_bit(tmp_path: Path) -> None:
    """History and scores keep the same floats, integers stay integers, and the hash stays the same."""
    rows = [{"epoch": n, "val_loss": value} for n, value in enumerate(AWKWARD, start=1)]
    original = dataclasses.replace(attempt(tmp_path), history=rows, scores={str(n): v for n, v in enumerate(AWKWARD)})
    record.commit(tmp_path, original)
    stored = record.read(tmp_path)
    assert stored is not None
    assert stored.sha256 == original.sha256
    bits = [struct.pack("<d", row["val_loss"]) for row in stored.history]
    assert (
        bits
        == [struct.pack("<d", value) for value in AWKWARD]
        == [struct.pack("<d", v) for v in stored.scores.values()]
    )
    assert all(type(row["epoch"]) is int for row in stored.history)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [0x01, 0x04, 0x20, 0x80, 0xFF])
def test_a_record_with_a_changed_byte_is_refused(tmp_path: Path, committed: Record, flip: int) -> None:
    """This holds for every byte of the file; the error names the file and the remedy."""
    path = tmp_path / record.FILE
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        with pytest.raises(DamagedRecord, match=r"record\.json: is damaged; put back a copy, or remove "):
            record.read(tmp_path)
    path.write_bytes(content)
    assert record.read(tmp_path) == committed


@pytest.mark.parametrize("old", [b"\n", b" ", b"e", b"."])
@pytest.mark.parametrize("new", [b"\r", b"\t", b"E", b"0", b'"', b"}"])
def test_a_record_that_says_the_same_in_other_bytes_is_refused(
    tmp_path: Path, committed: Record, old: bytes, new: bytes
) -> None:
    """Even changes that JSON ignores are refused, such as white space or a capital E in a number."""
    path = tmp_path / record.FILE
    content = path.read_bytes()
    for place in (n for n, byte in enumerate(content) if byte == old[0]):
        path.write_bytes(content[:place] + new + content[place + 1 :])
        with pytest.raises(DamagedRecord):
            record.read(tmp_path)


def test_a_record_cut_short_is_refused(tmp_path: Path, committed: Record) -> None:
    """This holds at every length, including an empty file."""
    path = tmp_path / record.FILE
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DamagedRecord):
            record.read(tmp_path)


@pytest.mark.parametrize("junk", [b"\n", b" ", b"{}", b"\0"])
def test_a_record_with_something_after_it_is_refused(tmp_path: Path, committed: Record, junk: bytes) -> None:
    """One additional byte is a change too."""
    with (tmp_path / record.FILE).open("ab") as file:
        file.write(junk)
    with pytest.raises(DamagedRecord):
        record.read(tmp_path)


@pytest.mark.parametrize(
    "text", ["null", "[]", "1", '{"record": {}}', '{"record": {"key": "k"}, "sha256": "s"}', "[" * 10**5]
)
def test_another_json_is_no_record(tmp_path: Path, text: str) -> None:
    """Any other content is reported as damaged."""
    (tmp_path / record.FILE).write_text(text)
    with pytest.raises(DamagedRecord):
        record.read(tmp_path)


def test_a_record_that_was_edited_is_refused(tmp_path: Path, committed: Record) -> None:
    """A better score with the old hash is not accepted."""
    path = tmp_path / record.FILE
    document = json.loads(path.read_text())
    document["record"]["scores"]["test_accuracy"] = 0.99
    path.write_text(json.dumps(document, sort_keys=True, indent=1))
    with pytest.raises(DamagedRecord):
        record.read(tmp_path)


@pytest.mark.parametrize("moved", range(len(FILES) + 1))
def test_what_a_kill_kept_in_the_attempts_folder_is_put_in_place(tmp_path: Path, moved: int) -> None:
    """After a kill between two moves, the next process moves the rest; repeating it does no harm."""
    own_record = record.commit(tmp_path, attempt(tmp_path))
    for name in list(FILES)[:moved]:
        (tmp_path / own_record.attempt / name).replace(tmp_path / name)
    for _ in range(2):
        record.put_in_place(tmp_path, own_record)
        record.check_files(tmp_path, own_record)
        assert sorted(contents(tmp_path)) == sorted([*FILES, record.FILE])


@pytest.mark.parametrize("place", ["record is written aside", "record is committed", "results are in place"])
def test_a_kill_leaves_a_whole_record_or_none(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With real kills of a process, the next attempt ends with one record and its files."""
    folder, log = tmp_path / "trial", tmp_path / "log"
    log.mkdir()
    monkeypatch.setenv("SOUNDINGS_FAULT", place)
    monkeypatch.setenv("SOUNDINGS_FAULT_LOG", str(log))
    own_record = attempt(folder)
    if (child := os.fork()) == 0:
        record.put_in_place(folder, record.commit(folder, own_record))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [path.name for path in log.iterdir()] == [f"{place} 1"]
    monkeypatch.delenv("SOUNDINGS_FAULT")
    stored = record.read(folder)
    assert stored == (None if place == "record is written aside" else own_record)
    second = attempt(folder, "two")
    counts = record.commit(folder, second)
    assert counts == (stored or second)
    record.put_in_place(folder, counts)
    record.check_files(folder, counts)
    assert sorted(contents(folder)) == sorted([*FILES, record.FILE])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["gone", "changed", "cut", "empty"])
def test_a_file_that_is_gone_or_changed_is_named(tmp_path: Path, committed: Record, name: str, harm: str) -> None:
    """The message has the actual and expected state and the remedy; sizes are compared without reading."""
    path, data = tmp_path / name, FILES[name]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes({"changed": bytes([data[0] ^ 1]) + data[1:], "cut": data[:-1], "empty": b""}[harm])
    fault = {
        "gone": "is missing",
        "changed": f"has sha256 {sha256(path)} instead of {committed.files[name]}",
        "cut": f"has {len(data) - 1} bytes instead of {len(data)}",
        "empty": f"has 0 bytes instead of {len(data)}",
    }[harm]
    with pytest.raises(DamagedRecord) as error:
        record.check_files(tmp_path, committed)
    remedy = f"put back a copy, or remove {tmp_path} and delete its run in MLflow: then the trial runs again"
    message = f"{path}: {fault}; {remedy}"
    assert str(error.value) == message == record.damage(tmp_path, committed, read=True)
    assert record.damage(tmp_path, committed) == ("" if harm == "changed" else message)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def test_all_that_is_damaged_is_named(tmp_path: Path, committed: Record) -> None:
    """Each damaged file has a line."""
    for name in FILES:
        (tmp_path / name).write_bytes(b"")
    assert [line.partition(": ")[0] for line in record.damage(tmp_path, committed).splitlines()] == [
        str(tmp_path / name) for name in FILES
    ]


def test_a_file_that_waits_in_its_attempts_folder_is_not_missing(tmp_path: Path) -> None:
    """After a kill between commit and move, a check finds no fault and moves nothing."""
    own_record = record.commit(tmp_path, attempt(tmp_path))
    assert record.damage(tmp_path, own_record, read=True) == ""
    (tmp_path / own_record.attempt / "best.pt").write_bytes(b"")
    assert "best.pt: has 0 bytes instead of 7; " in record.damage(tmp_path, own_record)


def test_what_is_no_file_is_damaged(tmp_path: Path, committed: Record) -> None:
    """A folder with the name of a file or of the record counts as damage."""
    (tmp_path / "best.pt").unlink()
    (tmp_path / "best.pt").mkdir()
    assert "best.pt: is missing; " in record.damage(tmp_path, committed)
    (tmp_path / record.FILE).unlink()
    (tmp_path / record.FILE).mkdir()
    with pytest.raises(DamagedRecord, match=r"record\.json: cannot be read \(Is a directory\)"):
        record.read(tmp_path)


def test_a_record_needs_the_size_of_every_file(tmp_path: Path) -> None:
    """A file without a size would never be compared."""
    with pytest.raises(ValueError, match="hash and size of every file"):
        dataclasses.replace(attempt(tmp_path), sizes={})


@pytest.mark.parametrize("change", [("sizes", None), ("colour", "blue")])
def test_the_record_of_another_version_is_said_to_be_one(
    tmp_path: Path, committed: Record, change: tuple[str, str | None]
) -> None:
    """One with a field more or less is complete, not damaged, unless it was also edited."""
    path, (name, value) = tmp_path / record.FILE, change
    content = {n: v for n, v in {**json.loads(path.read_text())["record"], name: value}.items() if v is not None}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"record": content, "sha256": digest}, sort_keys=True, indent=1))
    with pytest.raises(DamagedRecord, match="is complete, but another version of this code wrote it; use that version"):
        record.read(tmp_path)
    path.write_text(path.read_text().replace('"device": "CPU"', '"device": "GPU"'))
    with pytest.raises(DamagedRecord, match="is damaged; put back a copy"):
        record.read(tmp_path)


def test_a_record_that_is_forgotten_is_set_aside(tmp_path: Path, committed: Record) -> None:
    """The trial then has no record, another attempt may commit, and each old record can still be read."""
    content = (tmp_path / record.FILE).read_bytes()
    record.forget(tmp_path)
    assert record.read(tmp_path) is None
    second = record.commit(tmp_path, attempt(tmp_path, "two"))
    assert second == record.read(tmp_path) != committed
    record.forget(tmp_path)
    forgotten = [path.read_bytes() for path in tmp_path.glob("forgotten-*.json")]
    assert len(forgotten) == 2
    assert content in forgotten


def test_a_trial_without_files_has_none_that_are_gone(tmp_path: Path, committed: Record) -> None:
    """A trial of a search commits only numbers, so no files are missing."""
    numbers = dataclasses.replace(committed, files={}, sizes={})
    record.check_files(tmp_path, numbers, names=("predictions.npz",))
    assert record.damage(tmp_path, numbers) == ""
