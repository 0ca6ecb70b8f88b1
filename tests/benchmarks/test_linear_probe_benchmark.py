"""The benchmark of the linear probe compares the same training, done in two ways."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import linear_probe
from benchmarks.linear_probe import clips, measure, ours, peer, ready, trial

CPU = torch.device("cpu")
SMALL = {"mobilenetv1": 1 / 4, "cnn14": 1 / 16}  # width


@pytest.mark.parametrize("backbone", SMALL)
def test_both_train_the_same_classifier(backbone: str) -> None:
    """From one start, both sides have the same losses, which change in each epoch."""
    config = trial(backbone, SMALL[backbone], epochs=3)
    train, validation = clips(config, 20, 0, CPU), clips(config, 5, 1, CPU)
    our_losses = ours(config, ready(config, train), train, validation)
    assert our_losses == pytest.approx(peer(config, ready(config, train), train, validation, 3), rel=1e-6)
    assert min(abs(one - two) for one, two in itertools.pairwise(our_losses)) > 1e-4


def test_embeddings_are_what_the_network_classifies() -> None:
    """They also differ between clips, so the comparison means something."""
    config = trial("mobilenetv1", 1 / 4, epochs=2)
    measured = measure(config, num_clips=20, peer_epochs=1, rounds=1, device=CPU)
    assert measured.embeddings_differ <= 1e-5
    assert measured.losses_differ <= 1e-6
    network = ready(config, train := clips(config, 20, 0, CPU))
    assert linear_probe.fed(config, network, train).std(0).max() > 0.1


def test_all_epochs_of_ours_are_run() -> None:
    """Contradictory labels would end a trial early, so the benchmark sets enough patience."""
    config = replace(trial("cnn14", 1 / 16, epochs=7), lr=0.1)
    train = clips(config, 8, 0, CPU)
    contrary = replace(train, labels=train.labels.flip(0))
    assert len(ours(config, ready(config, train), train, contrary)) == 7
    assert len(ours(replace(config, patience=1), ready(config, train), train, contrary)) < 7


def test_prints_a_table_and_writes_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each network has a time and a difference; rows for a GPU are not invented."""
    monkeypatch.setattr(linear_probe, "ON_CPU", tuple(SMALL.items()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / "linear_probe.json"
    linear_probe.main(["--clips", "8", "--epochs", "2", "--peer-epochs", "1", "--rounds", "1", "--json", str(path)])
    rows = json.loads(path.read_text())["rows"]
    assert [row["ours"] is None for row in rows] == [False, False, False, False, True]
    assert [row["goal"] for row in rows[:2]] == [">= 30x", "<= 1e-05 of the largest"]
    assert "8 + 2 clips, 2 epochs" in capsys.readouterr().out
