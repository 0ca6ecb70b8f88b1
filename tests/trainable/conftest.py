"""What every test here begins with: one thread, and a worker that has run no trial."""

from __future__ import annotations

import pytest
import torch

from trainable import examples


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Small networks are five times slower with two where the cores are shared."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test is given clips that another has made."""
    monkeypatch.setattr(examples, "_made", {})
