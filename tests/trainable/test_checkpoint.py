"""A checkpoint is complete or absent: damaged ones are never loaded, and the last good one is found."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from trainable.weights import checkpoint
from trainable.weights.checkpoint import DamagedCheckpoint, best_file, epoch_file, latest, load, save, tidy, write

ROOT = Path(__file__).parents[2]
STATE = {"model": {"weight": torch.arange(6.0).view(2, 3)}, "history": [{"epoch": 1, "val_loss": 0.5}], "best_epoch": 1}


def hash_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")


def state_of(epoch: int, best: int) -> dict[str, Any]:
    return {"model": {"weight": torch.full((4,), float(epoch))}, "best_epoch": best, "epoch": epoch}


def trial_with(folder: Path, epochs: int) -> None:
    """A folder with the checkpoints of some epochs; the first was the best."""
    save(best_file(folder, 1), {"model": {"weight": torch.ones(4)}})
    for epoch in range(1, epochs + 1):
        save(epoch_file(folder, epoch), state_of(epoch, 1))


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Tensors keep their bits, type and shape; numbers, strings and lists stay the same."""
    path = tmp_path / "new" / "state.pt"
    state = {"half": torch.tensor([0.1, float("nan")], dtype=torch.float16), "list": [1, 2.5, "x", None]}
    save(path, state)
    read = load(path)
    assert read["list"] == state["list"]
    assert read["half"].dtype == torch.float16
    assert torch.equal(read["half"].view(torch.int16), state["half"].view(torch.int16))  # type: ignore[attr-defined]


def test_the_hash_is_what_sha256sum_checks(tmp_path: Path) -> None:
    """The file beside a checkpoint can be checked without Python."""
    save(tmp_path / "state.pt", STATE)
    checked = subprocess.run(["sha256sum", "-c", "state.pt.sha256"], cwd=tmp_path, capture_output=True, text=True)
    assert checked.stdout == "state.pt: OK\n"


def test_saving_leaves_nothing_else(tmp_path: Path) -> None:
    """There is a checkpoint and its hash, and no temporary file."""
    save(tmp_path / "state.pt", STATE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.pt", "state.pt.sha256"]


@pytest.mark.slow
def test_every_damaged_byte_is_detected(tmp_path: Path) -> None:
    """A checkpoint with any byte changed is refused; torch alone would load most of them."""
    path = tmp_path / "state.pt"
    save(path, STATE)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1 << place % 8]) + good[place + 1 :])
        with pytest.raises(DamagedCheckpoint, match="its SHA-256 is not"):
            load(path)


def test_a_damaged_hash_never_passes_another_state(tmp_path: Path) -> None:
    """A change of any of the 64 digits is refused; a change of the name beside them does not matter."""
    path = tmp_path / "state.pt"
    save(path, STATE)
    good = hash_file(path).read_bytes()
    refused = []
    for place in range(len(good)):
        hash_file(path).write_bytes(good[:place] + bytes([good[place] ^ 0x80]) + good[place + 1 :])
        try:
            assert torch.equal(load(path)["model"]["weight"], STATE["model"]["weight"])  # type: ignore[index]
        except DamagedCheckpoint:
            refused.append(place)
    assert set(refused) >= set(range(64))


@pytest.mark.slow
def test_every_truncation_is_detected(tmp_path: Path) -> None:
    """A checkpoint is refused however much of it is missing."""
    path = tmp_path / "state.pt"
    save(path, STATE)
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(DamagedCheckpoint):
            load(path)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_checkpoint_without_its_hash_is_refused(tmp_path: Path, content: bytes | None) -> None:
    """A missing, empty or invalid hash is damage, and the file is named."""
    path = tmp_path / "state.pt"
    save(path, STATE)
    hash_file(path).unlink()
    if content is not None:
        hash_file(path).write_bytes(content)
    with pytest.raises(DamagedCheckpoint, match=r"state\.pt: cannot be read with its hash"):
        load(path)


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    """A pickle that would run a command is refused even if its hash is right."""
    path, trace = tmp_path / "state.pt", tmp_path / "executed"

    class Command:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.system, (f"touch {trace}",)

    torch.save({"model": Command()}, path)
    hash_file(path).write_text(hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
        load(path)
    assert not trace.exists()


@pytest.mark.parametrize("failing", [1, 2, 3, 4])
def test_a_write_that_fails_leaves_nothing_that_passes_for_whole(
    tmp_path: Path, failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the disk fails at any of four steps, there is the old state, the new one, or a report of damage."""
    path = tmp_path / "state.pt"
    save(path, state_of(1, 1))
    calls = iter(range(1, 5))
    real = os.fsync

    def full(file: int) -> None:
        if next(calls) == failing:
            raise OSError(28, "No space left on device")
        real(file)

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save(path, state_of(2, 1))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state.pt", "state.pt.sha256"]
    try:
        assert load(path)["epoch"] == (1 if failing == 1 else 2)
    except DamagedCheckpoint:
        assert failing in (2, 3)  # the hash belongs to the new state, the data to the old


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is overwritten stays the old one until the new one is complete."""

    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    write(tmp_path / "a.txt", b"old")
    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path / "a.txt", b"new")
    assert [p.read_bytes() for p in tmp_path.iterdir()] == [b"old"]


def test_a_kill_between_hash_and_data_leaves_the_epoch_before(tmp_path: Path) -> None:
    """A hash without its checkpoint does not count as an epoch."""
    trial_with(tmp_path, 2)
    hash_file(epoch_file(tmp_path, 3)).write_text("0" * 64)
    state = latest(tmp_path)
    assert state is not None
    assert state["epoch"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_process_leaves_a_whole_epoch(tmp_path: Path, seed: int) -> None:
    """After SIGKILL during a save, the last reported epoch or a later one is there."""
    program = (
        "import sys, itertools, torch; from pathlib import Path; from trainable.weights.checkpoint import *\n"
        "folder = Path(sys.argv[1]); save(best_file(folder, 1), {'model': {}})\n"
        "for n in itertools.count(1):\n"
        "    save(epoch_file(folder, n), {'best_epoch': 1, 'epoch': n, 'x': torch.zeros(10**6)})\n"
        "    tidy(folder, {epoch_file(folder, n), epoch_file(folder, n - 1), best_file(folder, 1)})\n"
        "    print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as output:
        for _ in range(2 + seed):
            reported = int(output.readline())
        time.sleep(random.Random(seed).uniform(0, 0.02))
        process.kill()
        process.wait()
    state = latest(tmp_path)
    assert state is not None
    assert state["epoch"] >= reported


class TestLatest:
    def test_nothing_saved(self, tmp_path: Path) -> None:
        """A trial that never began has no state, with or without a folder."""
        assert latest(tmp_path) is None
        assert latest(tmp_path / "missing") is None

    def test_newest(self, tmp_path: Path) -> None:
        """The last of several good epochs is the one with the highest number."""
        trial_with(tmp_path, 11)
        state = latest(tmp_path)
        assert state is not None
        assert state["epoch"] == 11

    def test_damaged_epoch(self, tmp_path: Path) -> None:
        """A damaged epoch is skipped for the previous one."""
        trial_with(tmp_path, 3)
        damage(epoch_file(tmp_path, 3))
        state = latest(tmp_path)
        assert state is not None
        assert state["epoch"] == 2

    def test_damaged_best(self, tmp_path: Path) -> None:
        """An epoch with damaged best weights is skipped; one with other best weights is not."""
        trial_with(tmp_path, 2)
        save(best_file(tmp_path, 3), {"model": {}})
        save(epoch_file(tmp_path, 3), state_of(3, 3))
        damage(best_file(tmp_path, 3))
        state = latest(tmp_path)
        assert state is not None
        assert state["epoch"] == 2

    def test_all_damaged(self, tmp_path: Path) -> None:
        """If every epoch is damaged, the trial starts afresh."""
        trial_with(tmp_path, 2)
        best_file(tmp_path, 1).unlink()
        assert latest(tmp_path) is None


def test_tidy_removes_a_hash_whose_checkpoint_never_came(tmp_path: Path) -> None:
    """A kill can leave a hash alone; the hashes of kept checkpoints stay."""
    save(epoch_file(tmp_path, 2), {"epoch": 2})
    (tmp_path / "epoch-0003.pt.sha256").write_text("0" * 64)
    (tmp_path / "best-0001.pt.sha256").write_text("0" * 64)
    tidy(tmp_path, keep={epoch_file(tmp_path, 2)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-0002.pt", "epoch-0002.pt.sha256"]


def test_tidy_keeps_what_it_is_told(tmp_path: Path) -> None:
    """Old epochs, old best weights and half-written files are removed with their hashes; others stay."""
    trial_with(tmp_path, 3)
    (tmp_path / ".epoch-0004.pt.4711").touch()
    (tmp_path / ".best-0004.pt.sha256.4711").touch()
    save(tmp_path / "best.pt", STATE)
    (tmp_path / "predictions.npz").touch()
    tidy(tmp_path, keep={epoch_file(tmp_path, 3), best_file(tmp_path, 1)})
    names = ["best-0001.pt", "best.pt", "epoch-0003.pt"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*names, *(f"{name}.sha256" for name in names), "predictions.npz"]
    )


def _mutants(count: int, seed: int) -> Iterator[tuple[str, Callable[[bytes, bytes], bytes]]]:
    """Names of files of a trial, and functions that damage their bytes, given another file's."""
    rng = random.Random(seed)
    names = ["epoch-0001.pt", "epoch-0002.pt", "epoch-0003.pt", "best-0001.pt", "best-0003.pt"]
    for number in range(count):
        place, bit = rng.random(), rng.randrange(8)
        befalls: list[Callable[[bytes, bytes], bytes]] = [
            lambda data, other, place=place: data[: int(place * len(data))],
            lambda data, other, place=place, bit=bit: flipped(data, int(place * len(data)), 1 << bit),
            lambda data, other, place=place: zeroed(data, int(place * len(data))),
            lambda data, other: other,
            lambda data, other: b"",
        ]
        yield rng.choice(names), befalls[number % len(befalls)]


def flipped(data: bytes, place: int, mask: int) -> bytes:
    return data[:place] + bytes([data[place] ^ mask]) + data[place + 1 :]


def zeroed(data: bytes, place: int) -> bytes:
    """Zeroes a block of 512 bytes, like one that a disk lost."""
    start = place // 512 * 512
    return data[:start] + bytes(len(data[start : start + 512])) + data[start + 512 :]


@pytest.mark.slow
def test_no_mutation_is_loaded(tmp_path: Path) -> None:
    """1000 cuts, flips, lost blocks, swaps and empty files: always the newest good epoch with its own bits."""
    states = {1: state_of(1, 1), 2: state_of(2, 1), 3: state_of(3, 3)}
    for epoch in (1, 3):
        save(best_file(tmp_path, epoch), {"model": {"weight": torch.full((4,), -float(epoch))}})
    for epoch, state in states.items():
        save(epoch_file(tmp_path, epoch), state)
    contents = {path.name: path.read_bytes() for path in tmp_path.glob("*.pt")}
    others = dict(zip(contents, [*list(contents.values())[1:], contents[next(iter(contents))]], strict=True))
    fallen: Counter[int] = Counter()
    for name, befalls in _mutants(1_000, seed=1):
        broken = befalls(contents[name], others[name])
        if broken == contents[name]:  # a block that was zero already
            broken = flipped(broken, 0, 1)
        assert broken != contents[name]
        (tmp_path / name).write_bytes(broken)
        damaged_epochs = {"best-0001.pt": {1, 2}, "best-0003.pt": {3}}.get(
            name, {int(name[6:10])} if name[0] == "e" else set()
        )
        expected = max(states.keys() - damaged_epochs)
        loaded = latest(tmp_path)
        assert loaded is not None
        assert (loaded["epoch"], loaded["best_epoch"]) == (expected, states[expected]["best_epoch"])
        assert torch.equal(loaded["model"]["weight"], states[expected]["model"]["weight"])
        fallen[expected] += 1
        (tmp_path / name).write_bytes(contents[name])
    assert fallen[2] > 300  # it fell back whenever epoch 3 or its best weights were damaged
    assert fallen.total() == 1_000
