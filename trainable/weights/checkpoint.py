"""Checkpoints that are complete or absent: each is written under another name, hashed, renamed, and verified when read.

Torch silently loads a checkpoint with a flipped bit (824 of 1000 flips), so the SHA-256 of each is in a file beside it
that `sha256sum -c` can read. The hash is written before the checkpoint, so a kill between the two leaves no checkpoint
that looks complete.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainable.device import faults

if TYPE_CHECKING:
    import torch


class DamagedCheckpoint(ValueError):
    """A checkpoint whose bytes are not those that were written."""


def save(path: Path, state: dict[str, Any]) -> None:
    """Writes `state` (tensors, numbers, strings, lists, dicts) and its hash; both are on the disk when this returns."""
    import torch  # imported here because a driver, which only tidies up, should not wait for it

    buffer = io.BytesIO()
    torch.save(state, buffer)
    data = buffer.getbuffer()  # avoids a second copy of up to a gigabyte
    path.parent.mkdir(parents=True, exist_ok=True)
    write(_hash_file(path), f"{hashlib.sha256(data).hexdigest()}  {path.name}\n".encode())
    faults.reach("checkpoint hash is written")
    write(path, data)
    faults.reach("checkpoint is written")


def load(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """The state that `save` wrote.

    Raises:
        DamagedCheckpoint: if a byte differs, or the file or its hash is missing.
    """
    import torch

    state: dict[str, Any] = torch.load(io.BytesIO(_verified(path)), map_location=device, weights_only=True)
    return state


def epoch_file(folder: Path, epoch: int) -> Path:
    """The file with the state after `epoch` epochs."""
    return folder / f"epoch-{epoch:04d}.pt"


def best_file(folder: Path, epoch: int) -> Path:
    """The file with the weights of `epoch`, while it is the best so far."""
    return folder / f"best-{epoch:04d}.pt"


def latest(folder: Path, device: torch.device | str = "cpu") -> dict[str, Any] | None:
    """The state of a trial's last epoch with undamaged checkpoint and best weights; None if it must start afresh."""
    for path in sorted(folder.glob("epoch-*.pt"), reverse=True):
        try:
            state = load(path, device)
            _verified(best_file(folder, state["best_epoch"]))
        except DamagedCheckpoint:
            continue
        return state
    return None


def tidy(folder: Path, keep: set[Path]) -> None:
    """Removes the checkpoints of a trial except those in `keep`, and half-written files of killed processes."""
    for path in [
        *folder.glob("epoch-*.pt*"),
        *folder.glob("best-*.pt*"),
    ]:  # a kill may have left a hash without its file
        if path.with_name(path.name.removesuffix(".sha256")) not in keep:
            path.unlink(missing_ok=True)
    for part in folder.glob(".*.pt*"):
        part.unlink(missing_ok=True)


def write(path: Path, data: bytes | memoryview) -> None:
    """Writes a file completely or not at all; the file and its name are on the disk when this returns."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        part.unlink(missing_ok=True)


def _verified(path: Path) -> bytes:
    try:
        data, expected = path.read_bytes(), _hash_file(path).read_text().split()[0]
    except (OSError, IndexError, UnicodeDecodeError) as error:
        raise DamagedCheckpoint(f"{path}: cannot be read with its hash ({error})") from None
    if hashlib.sha256(data).hexdigest() != expected:
        raise DamagedCheckpoint(f"{path}: its SHA-256 is not {expected}")
    return data


def _hash_file(path: Path) -> Path:
    return path.with_name(path.name + ".sha256")
