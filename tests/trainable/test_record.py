"""A trial has one result or none: the first that is committed, whole, and the same for ever."""

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
    """A result whose files lie in the folder of its attempt, not committed yet."""
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
    """Every file below the folder, by its path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def committed(tmp_path: Path) -> Record:
    """What `tmp_path` has as its result, in place."""
    mine = record.commit(tmp_path, attempt(tmp_path))
    record.put_in_place(tmp_path, mine)
    return mine


def test_what_was_committed_is_read(tmp_path: Path, committed: Record) -> None:
    """A record is read as it was, its files lie beside it, and nothing else does."""
    assert record.read(tmp_path) == committed
    assert contents(tmp_path) == {**FILES, record.FILE: (tmp_path / record.FILE).read_bytes()}
    assert not list(tmp_path.glob(f"{record.ATTEMPT}*"))
    record.check_files(tmp_path, committed)


def test_a_trial_that_did_not_end_has_no_record(tmp_path: Path) -> None:
    """Neither has one whose results are written and not committed, nor one whose folder is not there."""
    attempt(tmp_path)
    assert record.read(tmp_path) is None
    assert record.read(tmp_path / "nowhere") is None


def test_the_first_commit_counts(tmp_path: Path, committed: Record) -> None:
    """A second attempt is given the first's record; record and files stay as they are, byte for byte."""
    before = contents(tmp_path)
    second = attempt(tmp_path, "two", {name: data[::-1] for name, data in FILES.items()})
    assert record.commit(tmp_path, second) == committed != second
    record.put_in_place(tmp_path, committed)
    assert contents(tmp_path) == before


def test_the_first_commit_counts_though_its_files_are_not_in_place(tmp_path: Path) -> None:
    """The second attempt puts the first's files in place, and none of its own."""
    first = record.commit(tmp_path, attempt(tmp_path))
    second = attempt(tmp_path, "two", {name: data[::-1] for name, data in FILES.items()})
    record.put_in_place(tmp_path, record.commit(tmp_path, second))
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
    record.check_files(tmp_path, first)


def test_of_attempts_at_the_same_moment_one_counts(tmp_path: Path) -> None:
    """Eight that commit and put in place at once agree on one record, and its files are there; twenty times."""
    for turn in range(20):
        folder = tmp_path / str(turn)
        mine = [attempt(folder, str(n), {"best.pt": str(n).encode()}) for n in range(8)]
        start, agreed = threading.Barrier(len(mine)), []

        def race(one: Record, folder: Path = folder, start: threading.Barrier = start, said: list = agreed) -> None:
            start.wait()
            said.append(record.commit(folder, one))

        threads = [threading.Thread(target=race, args=(one,)) for one in mine]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert len(agreed) == 8
        assert len({one.sha256 for one in agreed}) == 1

        def tidy(one: Record = agreed[0], folder: Path = folder, start: threading.Barrier = start) -> None:
            start.wait()
            record.put_in_place(folder, one)

        threads = [threading.Thread(target=tidy) for _ in mine]
        [t.start() for t in threads]
        [t.join() for t in threads]
        record.check_files(folder, agreed[0])
        assert sorted(contents(folder)) == ["best.pt", record.FILE]


def test_numbers_come_back_bit_by_bit(tmp_path: Path) -> None:
    """History and scores hold the same floats, whole numbers stay whole, and the hash is that of what was committed."""
    rows = [{"epoch": n, "val_loss": value} for n, value in enumerate(AWKWARD, start=1)]
    mine = dataclasses.replace(attempt(tmp_path), history=rows, scores={str(n): v for n, v in enumerate(AWKWARD)})
    record.commit(tmp_path, mine)
    found = record.read(tmp_path)
    assert found is not None
    assert found.sha256 == mine.sha256
    bits = [struct.pack("<d", row["val_loss"]) for row in found.history]
    assert (
        bits == [struct.pack("<d", value) for value in AWKWARD] == [struct.pack("<d", v) for v in found.scores.values()]
    )
    assert all(type(row["epoch"]) is int for row in found.history)


@pytest.mark.slow
@pytest.mark.parametrize("flip", [0x01, 0x04, 0x20, 0x80, 0xFF])
def test_a_record_with_a_changed_byte_is_refused(tmp_path: Path, committed: Record, flip: int) -> None:
    """At every place of the file; the error names the file and the remedy."""
    path = tmp_path / record.FILE
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ flip]) + whole[place + 1 :])
        with pytest.raises(DamagedRecord, match=r"record\.json: is damaged; put back a copy, or remove "):
            record.read(tmp_path)
    path.write_bytes(whole)
    assert record.read(tmp_path) == committed


@pytest.mark.parametrize("old", [b"\n", b" ", b"e", b"."])
@pytest.mark.parametrize("new", [b"\r", b"\t", b"E", b"0", b'"', b"}"])
def test_a_record_that_says_the_same_in_other_bytes_is_refused(
    tmp_path: Path, committed: Record, old: bytes, new: bytes
) -> None:
    """Every single replacement, also of what JSON does not mind: white space, a capital E in a number."""
    path = tmp_path / record.FILE
    whole = path.read_bytes()
    for place in (n for n, byte in enumerate(whole) if byte == old[0]):
        path.write_bytes(whole[:place] + new + whole[place + 1 :])
        with pytest.raises(DamagedRecord):
            record.read(tmp_path)


def test_a_record_cut_short_is_refused(tmp_path: Path, committed: Record) -> None:
    """At every length, the empty file too."""
    path = tmp_path / record.FILE
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedRecord):
            record.read(tmp_path)


@pytest.mark.parametrize("junk", [b"\n", b" ", b"{}", b"\0"])
def test_a_record_with_something_after_it_is_refused(tmp_path: Path, committed: Record, junk: bytes) -> None:
    """One byte too many is a change too."""
    with (tmp_path / record.FILE).open("ab") as file:
        file.write(junk)
    with pytest.raises(DamagedRecord):
        record.read(tmp_path)


@pytest.mark.parametrize(
    "text", ["null", "[]", "1", '{"record": {}}', '{"record": {"key": "k"}, "sha256": "s"}', "[" * 10**5]
)
def test_another_json_is_no_record(tmp_path: Path, text: str) -> None:
    """Whatever it holds, it is said to be damaged."""
    (tmp_path / record.FILE).write_text(text)
    with pytest.raises(DamagedRecord):
        record.read(tmp_path)


def test_a_record_that_was_edited_is_refused(tmp_path: Path, committed: Record) -> None:
    """A better score with the old hash is no result."""
    path = tmp_path / record.FILE
    found = json.loads(path.read_text())
    found["record"]["scores"]["test_accuracy"] = 0.99
    path.write_text(json.dumps(found, sort_keys=True, indent=1))
    with pytest.raises(DamagedRecord):
        record.read(tmp_path)


@pytest.mark.parametrize("moved", range(len(FILES) + 1))
def test_what_a_kill_kept_in_the_attempts_folder_is_put_in_place(tmp_path: Path, moved: int) -> None:
    """After so many of the files the process was killed; the next one moves the rest, and once more is no harm."""
    mine = record.commit(tmp_path, attempt(tmp_path))
    for name in list(FILES)[:moved]:
        (tmp_path / mine.attempt / name).replace(tmp_path / name)
    for _ in range(2):
        record.put_in_place(tmp_path, mine)
        record.check_files(tmp_path, mine)
        assert sorted(contents(tmp_path)) == sorted([*FILES, record.FILE])


@pytest.mark.parametrize("place", ["record is written aside", "record is committed", "results are in place"])
def test_a_kill_leaves_a_whole_record_or_none(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one, in a process of its own; the next attempt ends with one record and its files."""
    folder, log = tmp_path / "trial", tmp_path / "log"
    log.mkdir()
    monkeypatch.setenv("SOUNDINGS_FAULT", place)
    monkeypatch.setenv("SOUNDINGS_FAULT_LOG", str(log))
    mine = attempt(folder)
    if (child := os.fork()) == 0:
        record.put_in_place(folder, record.commit(folder, mine))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert [path.name for path in log.iterdir()] == [f"{place} 1"]
    monkeypatch.delenv("SOUNDINGS_FAULT")
    left = record.read(folder)
    assert left == (None if place == "record is written aside" else mine)
    second = attempt(folder, "two")
    counts = record.commit(folder, second)
    assert counts == (left or second)
    record.put_in_place(folder, counts)
    record.check_files(folder, counts)
    assert sorted(contents(folder)) == sorted([*FILES, record.FILE])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("harm", ["gone", "changed", "cut", "empty"])
def test_a_file_that_is_gone_or_changed_is_named(tmp_path: Path, committed: Record, name: str, harm: str) -> None:
    """With what it is, what it should be, and the remedy; all that its size can tell is told without reading it."""
    path, data = tmp_path / name, FILES[name]
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes({"changed": bytes([data[0] ^ 1]) + data[1:], "cut": data[:-1], "empty": b""}[harm])
    what = {
        "gone": "is missing",
        "changed": f"has sha256 {sha256(path)} instead of {committed.files[name]}",
        "cut": f"has {len(data) - 1} bytes instead of {len(data)}",
        "empty": f"has 0 bytes instead of {len(data)}",
    }[harm]
    with pytest.raises(DamagedRecord) as error:
        record.check_files(tmp_path, committed)
    said = (
        f"{path}: {what}; put back a copy, or remove {tmp_path} and delete its run in MLflow: then the trial runs again"
    )
    assert str(error.value) == said == record.damage(tmp_path, committed, read=True)
    assert record.damage(tmp_path, committed) == ("" if harm == "changed" else said)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def test_all_that_is_damaged_is_named(tmp_path: Path, committed: Record) -> None:
    """A line for each file."""
    for name in FILES:
        (tmp_path / name).write_bytes(b"")
    assert [line.partition(": ")[0] for line in record.damage(tmp_path, committed).splitlines()] == [
        str(tmp_path / name) for name in FILES
    ]


def test_a_file_that_waits_in_its_attempts_folder_is_not_missing(tmp_path: Path) -> None:
    """A kill came between the commit and the move; a look, which moves nothing, finds nothing wrong."""
    mine = record.commit(tmp_path, attempt(tmp_path))
    assert record.damage(tmp_path, mine, read=True) == ""
    (tmp_path / mine.attempt / "best.pt").write_bytes(b"")
    assert "best.pt: has 0 bytes instead of 7; " in record.damage(tmp_path, mine)


def test_what_is_no_file_is_damaged(tmp_path: Path, committed: Record) -> None:
    """A folder of the file's name, or of the record's."""
    (tmp_path / "best.pt").unlink()
    (tmp_path / "best.pt").mkdir()
    assert "best.pt: is missing; " in record.damage(tmp_path, committed)
    (tmp_path / record.FILE).unlink()
    (tmp_path / record.FILE).mkdir()
    with pytest.raises(DamagedRecord, match=r"record\.json: cannot be read \(Is a directory\)"):
        record.read(tmp_path)


def test_a_record_needs_the_size_of_every_file(tmp_path: Path) -> None:
    """A file without one would never be compared."""
    with pytest.raises(ValueError, match="hash and size of every file"):
        dataclasses.replace(attempt(tmp_path), sizes={})


@pytest.mark.parametrize("change", [("sizes", None), ("colour", "blue")])
def test_the_record_of_another_version_is_said_to_be_one(
    tmp_path: Path, committed: Record, change: tuple[str, str | None]
) -> None:
    """With a field less or more: it is whole, and not called damaged; one that was edited besides is."""
    path, (name, value) = tmp_path / record.FILE, change
    content = {n: v for n, v in {**json.loads(path.read_text())["record"], name: value}.items() if v is not None}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({"record": content, "sha256": digest}, sort_keys=True, indent=1))
    with pytest.raises(DamagedRecord, match="is whole, but another version of this code wrote it; use that version"):
        record.read(tmp_path)
    path.write_text(path.read_text().replace('"device": "CPU"', '"device": "GPU"'))
    with pytest.raises(DamagedRecord, match="is damaged; put back a copy"):
        record.read(tmp_path)


def test_a_record_that_is_forgotten_is_set_aside(tmp_path: Path, committed: Record) -> None:
    """The trial has none then, and another attempt may commit; what was committed can still be read, each time."""
    whole = (tmp_path / record.FILE).read_bytes()
    record.forget(tmp_path)
    assert record.read(tmp_path) is None
    second = record.commit(tmp_path, attempt(tmp_path, "two"))
    assert second == record.read(tmp_path) != committed
    record.forget(tmp_path)
    kept = [path.read_bytes() for path in tmp_path.glob("forgotten-*.json")]
    assert len(kept) == 2
    assert whole in kept


def test_a_trial_without_files_has_none_that_are_gone(tmp_path: Path, committed: Record) -> None:
    """A trial of a search commits numbers alone; nothing that others have is missed."""
    numbers = dataclasses.replace(committed, files={}, sizes={})
    record.check_files(tmp_path, numbers, names=("predictions.npz",))
    assert record.damage(tmp_path, numbers) == ""
