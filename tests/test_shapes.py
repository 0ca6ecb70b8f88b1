"""Shapes in signatures are checked in these tests: a wrong one cannot pass."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from tests import shapes
from trainable.result import metrics

CLIPS, CLASSES = 3, 4
LOGITS, LABELS = np.zeros((CLIPS, CLASSES), np.float32), np.zeros(CLIPS, np.int64)


def test_a_right_shape_passes() -> None:
    """As without any check."""
    assert metrics.cross_entropy(LOGITS, LABELS) == pytest.approx(np.log(CLASSES))


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (LOGITS, LABELS[:1]),  # numpy would broadcast it, and no number would tell
        (LOGITS[0], LABELS),
        (LOGITS.astype(np.int64), LABELS),
        (torch.from_numpy(LOGITS), LABELS),
    ],
)
def test_a_wrong_shape_is_refused(logits: np.ndarray, labels: np.ndarray) -> None:
    """Another number of clips, of dimensions, another type of numbers, another library's array."""
    with pytest.raises(TypeCheckError, match=r"metrics\.\w+"):
        metrics.cross_entropy(logits, labels)


def test_what_comes_out_is_checked_and_dataclasses_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results, fields, methods, and what torch has wrapped; modules keep no name that was imported for types."""
    folder = tmp_path / "toy_of_shapes"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "toy.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from typing import TYPE_CHECKING\n"
        "import torch\n"
        "if TYPE_CHECKING:\n"
        "    from jaxtyping import Float\n"
        "    from torch import Tensor\n"
        "    Wave = Float[Tensor, ' samples']\n"
        "@torch.inference_mode()\n"
        "def doubled(x: Wave) -> Wave:\n"
        "    return torch.cat([x, x])\n"
        "@dataclass\n"
        "class Held:\n"
        "    x: Float[Tensor, '2 samples'] | None\n"
        "    @staticmethod\n"
        "    def of(x: Wave) -> int:\n"
        "        return len(x)\n"
        "    @property\n"
        "    def first(self) -> Float[Tensor, '2 samples']:\n"
        "        return self.x[0]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(shapes, "PACKAGES", ("toy_of_shapes",))
    toy = importlib.import_module("toy_of_shapes.toy")
    assert not {"Float", "Tensor", "Wave"} & vars(toy).keys()
    assert (toy.Held.of(torch.zeros(5)), toy.Held(None).x) == (5, None)
    calls = (
        lambda: toy.doubled(torch.zeros(5)),
        lambda: toy.Held(torch.zeros(3, 5)),
        lambda: toy.Held.of(torch.zeros(3, 5)),
        lambda: toy.Held(torch.zeros(2, 5)).first,
    )
    for call in calls:
        with pytest.raises(TypeCheckError):
            call()
    for name in ("toy_of_shapes", "toy_of_shapes.toy"):
        del sys.modules[name]
