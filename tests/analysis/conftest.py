"""Fixtures: runs like those of a finished sweep, with an accuracy that the test chooses."""

from __future__ import annotations

import dataclasses
import html.parser
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sweeps.engine.plan import Sweep, grid
from sweeps.engine.store.runs import Run
from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig

CLASSES = ("Cargo", "Passengership", "Tanker", "Tug")
BASE = RATES.but(split="published")
MakeRun = Callable[..., Run]
PIVOT_FILES = {"report.html", "report.json", "table.md", "table.csv", "table.tex", "figure.png", "figure.svg"}
OF_RUNS = {"seeds.csv", "confusion.csv", "confusion.png", "confusion.svg"}  # of a pivot too, if its runs are known
RANKING_FILES = {*PIVOT_FILES, "pairs.csv", "confusion.csv", "confusion.png", "confusion.svg"}


@pytest.fixture
def sweep() -> Sweep:
    """Two pre-training rates x two data rates x three seeds = 12 trials, in the published protocol."""
    return Sweep("toy_rates", grid(BASE, pretrain_hz=(16_000, 32_000), data_hz=(2_000, 4_000), seed=(1, 2, 3)))


@pytest.fixture
def backbones() -> Sweep:
    """Four PANNs x three seeds = 12 trials, in the published protocol."""
    base = dataclasses.replace(BASE, batch=64)
    return Sweep("toy_backbones", grid(base, backbone=("cnn6", "cnn14", "cnn10", "mobilenetv1"), seed=(1, 2, 3)))


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
                "num_parameters": 4_260_228,
            },
            tags={**provenance(trial), **tags},
            artifact_uri=str(folder),
        )

    return make


@pytest.fixture
def complete(sweep: Sweep, make_run: MakeRun) -> list[Run]:
    """Every trial finished; 4 kHz data are two points better, and each seed is half a point better than the last."""
    return [make_run(t, 0.70 + 0.02 * (t.data_hz == 4_000) + 0.005 * (t.seed - 2)) for t in sweep.trials]


@pytest.fixture
def check_page() -> Callable[[str], None]:
    """A function that fails if a page fetches anything, or leaves a tag open."""

    def check(page: str) -> None:
        resources = Resources(page)
        assert resources.found == []
        assert resources.open == []
        assert "url(http" not in page

    return check


@pytest.fixture
def check_latex(tmp_path: Path) -> Callable[[str], None]:
    """A function that fails if tables do not compile in an article with booktabs, or are too wide for it."""

    def check(tables: str) -> None:
        body = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n" + tables + "\\end{document}\n"
        (tmp_path / "t.tex").write_text(body, encoding="utf-8")
        command = ["pdflatex", "-halt-on-error", "t.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2_000:]
        assert "Overfull" not in done.stdout

    return check


class Resources(html.parser.HTMLParser):
    """Collects what a page would fetch, and checks that its tags close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Records every src and every href that is not a link of `a`, within the page, or the data themselves."""
        if tag not in ("meta", "br", "link"):
            self.open.append(tag)
        for name, value in attrs:
            inside = (value or "").startswith(("#", "data:")) or tag == "a"
            if (name in ("src", "href", "xlink:href") and not inside) or tag == "link":
                self.found.append(f"{tag} {value}")

    def handle_endtag(self, tag: str) -> None:
        """Closes the innermost tag."""
        assert self.open.pop() == tag


@pytest.fixture
def fill_store(empty_database: Path) -> Callable[[Path, list[Run]], str]:
    """A function that makes an MLflow store of runs, predictions included, and gives its address."""

    def fill(folder: Path, runs: list[Run]) -> str:
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param, RunTag

        folder.mkdir()
        shutil.copy(empty_database, folder / "mlflow.db")
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        client = MlflowClient(tracking_uri=uri)
        experiment = client.create_experiment("toy", artifact_location=(folder / "artefacts").as_uri())
        for run in runs:
            created = client.create_run(experiment, run_name=run.name)
            metrics = [Metric(name, value, 0, 0) for name, value in run.metrics.items()]
            params = [Param(name, value) for name, value in run.params.items()]
            tags = [RunTag(name, value) for name, value in run.tags.items()]
            client.log_batch(created.info.run_id, metrics, params, tags)
            client.log_artifacts(created.info.run_id, run.artifact_uri)
            client.set_terminated(created.info.run_id, run.status)
        return uri

    return fill


def fields(text: str) -> list[list[str]]:
    """The table lines of a Markdown text, in fields."""
    return [[w.strip() for w in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


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
        "code_sha256": "c0de" * 16,
        "versions": "torch 2.14.1, ray 2.60.0",
        "device": "cpu",
        "hostname": "pier",
    }


def predictions(accuracy: float, seed: int, num_recordings: int) -> dict[str, np.ndarray]:
    """Predictions with exactly round(accuracy x clips) clips right; whole recordings are easy or hard."""
    clips = 10 + 7 * np.arange(num_recordings) % 41
    where = np.repeat(np.arange(num_recordings), clips)
    labels = (where % len(CLASSES)).astype(np.int64)
    rng = np.random.default_rng(seed)
    ease = np.random.default_rng(0).normal(size=num_recordings)[where] + 0.7 * rng.normal(size=len(where))
    right = np.zeros(len(where), dtype=bool)
    right[np.argsort(-ease)[: round(accuracy * len(where))]] = True
    predicted = np.where(right, labels, (labels + 1) % len(CLASSES))
    logits = 0.1 * rng.random((len(where), len(CLASSES))) + 2.0 * (predicted[:, None] == np.arange(len(CLASSES)))
    return {
        "logits": logits.astype(np.float32),
        "labels": labels,
        "recording": np.array([f"ship-{r:03d}" for r in range(num_recordings)])[where],
        "clip": np.concatenate([np.arange(n) for n in clips]),
        "classes": np.array(CLASSES),
    }
