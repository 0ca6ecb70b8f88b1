"""Fixtures for every test here: one thread, and a worker that has not run a trial."""

from __future__ import annotations

import pytest
import torch

from trainable import examples


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """On shared cores, small networks are five times slower with two threads."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test gets clips from the cache of another."""
    monkeypatch.setattr(examples, "_cache", {})
