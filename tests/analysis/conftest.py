"""Runs as a sweep would leave them, with an accuracy that a test chooses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sweeps.plan import Sweep, grid
from sweeps.runs import Run
from trainable.config import TrialConfig

CLASSES = ("Cargo", "Passengership", "Tanker", "Tug")
BASE = TrialConfig(
    corpus="deepship",
    backbone="cnn14",
    augment="specaugment+mixup",
    pretrain_hz=32_000,
    data_hz=32_000,
    seed=1,
    split="published",
)
MakeRun = Callable[..., Run]


@pytest.fixture
def sweep() -> Sweep:
    """Two pre-training rates x two data rates x three seeds = 12 trials, in the published protocol."""
    return Sweep("toy_rates", grid(BASE, pretrain_hz=(16_000, 32_000), data_hz=(2_000, 4_000), seed=(1, 2, 3)))


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A function that writes the predictions of one finished trial and returns its run."""

    def make(
        trial: TrialConfig, accuracy: float = 0.75, run_id: str = "", num_recordings: int = 24, **tags: str
    ) -> Run:
        run_id = run_id or f"run-{trial.key}"
        arrays = predictions(accuracy, trial.seed, num_recordings)
        folder = tmp_path / run_id
        folder.mkdir()
        np.savez(folder / "predictions.npz", **arrays)  # type: ignore[arg-type]
        right = arrays["logits"].argmax(axis=1) == arrays["labels"]
        return Run(
            run_id=run_id,
            experiment="toy",
            name=trial.key,
            status="FINISHED",
            params={name: str(value) for name, value in trial.to_dict().items()},
            metrics={
                "test_accuracy": float(right.mean()),
                "test_recording_accuracy": 0.8,
                "test_loss": 0.7,
                "best_epoch": 3,
                "epochs_run": 5,
                "best_val_accuracy": 0.7,
                "best_val_loss": 0.8,
            },
            tags={**provenance(trial), **tags},
            artifact_uri=str(folder),
        )

    return make


@pytest.fixture
def complete(sweep: Sweep, make_run: MakeRun) -> list[Run]:
    """Every trial finished; 4 kHz data are two points better, and each seed is half a point better than the last."""
    return [make_run(t, 0.70 + 0.02 * (t.data_hz == 4_000) + 0.005 * (t.seed - 2)) for t in sweep.trials]


def provenance(trial: TrialConfig) -> dict[str, str]:
    """The tags of a run of the published protocol."""
    return {
        "key": trial.key,
        "sweep": "toy_rates",
        "data_sha256": "d1" * 32,
        "split_sha256": "51" * 32,
        "weights_sha256": f"{trial.pretrain_hz:064d}",
        "corpus_recordings": "428/60/121",
        "corpus_clips": "23088/3974/6708",
        "corpus_notes": "left out: toy.wav: silent",
        "git_commit": "c0ffee0",
        "git_dirty": "false",
        "versions": "torch 2.14.1",
        "device": "cpu",
        "hostname": "pier",
    }


def predictions(accuracy: float, seed: int, num_recordings: int) -> dict[str, np.ndarray]:
    """Predictions with exactly round(accuracy x clips) clips right, whole recordings being easy or hard."""
    clips = 10 + 7 * np.arange(num_recordings) % 41
    where = np.repeat(np.arange(num_recordings), clips)
    labels = (where % len(CLASSES)).astype(np.int64)
    rng = np.random.default_rng(seed)
    ease = np.random.default_rng(0).normal(size=num_recordings)[where] + 0.7 * rng.normal(size=len(where))
    right = np.zeros(len(where), dtype=bool)
    right[np.argsort(-ease)[: round(accuracy * len(where))]] = True
    said = np.where(right, labels, (labels + 1) % len(CLASSES))
    logits = 0.1 * rng.random((len(where), len(CLASSES))) + 2.0 * (said[:, None] == np.arange(len(CLASSES)))
    return {
        "logits": logits.astype(np.float32),
        "labels": labels,
        "recording": np.array([f"ship-{r:03d}" for r in range(num_recordings)])[where],
        "clip": np.concatenate([np.arange(n) for n in clips]),
        "classes": np.array(CLASSES),
    }
