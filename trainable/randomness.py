"""Random numbers that follow from a trial's seed, the epoch and a purpose, so that resuming needs no stored state."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derive(seed: int, *purpose: str | int) -> int:
    """A 63-bit seed for one purpose, independent of every other: `derive(1, "order", epoch)`."""
    return int.from_bytes(hashlib.sha256(repr((seed, *purpose)).encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh generator for one purpose."""
    return torch.Generator(device).manual_seed(derive(seed, *purpose))


@contextmanager
def torch_seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seeds torch's global random numbers within the block, for code that takes no generator, and restores them."""
    with torch.random.fork_rng(devices=[device] if torch.device(device).type == "cuda" else []):
        torch.manual_seed(seed)
        yield


def drawn(generator: torch.Generator) -> int:
    """A seed drawn from a CPU generator."""
    return int(torch.randint(2**62, (), generator=generator, device="cpu"))
