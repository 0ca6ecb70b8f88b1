"""The settings that studies in miniature train with (`--small`): enough for narrow networks on invented recordings."""

from typing import Any

WIDTH = 1 / 16  # of every layer, where a network has a width
TRAINING: dict[str, Any] = {"batch": 3, "lr": 5e-4, "epochs": 3, "patience": 0, "head_dropout": 0.0}
PRETRAINING: dict[str, Any] = {"batch": 4, "lr": 2e-3, "epochs": 12, "seed": 1, "augment": "none", "head_dropout": 0.0}
EVALUATIONS = 8  # of a search at most, unless it is a grid
