"""The savings of a pruner are counted in epochs, and compared with its results."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks import search
from benchmarks.search import Found


def test_half_of_the_epochs_must_be_saved_and_nothing_lost() -> None:
    """The goals are the median over the seeds, and the best score of every seed."""
    none, half, most = Found(1, "none", 100, 1.0, 0), Found(1, "asha", 50, 1.0, 5), Found(2, "asha", 20, 1.1, 9)
    *_, saved, equal = search.rows([none, half, none, most, none, half])
    assert (saved.ours, saved.met) == (0.5, True)
    assert (equal.ours, equal.met) == (2, False)


def test_both_searches_are_given_the_same_proposals(tmp_path: Path) -> None:
    """In two evaluations of three epochs, nothing can be pruned, so both run to the end."""
    words = ["--seeds", "1", "--evaluations", "2", "--epochs", "3", "--recordings", "4"]
    search.main([*words, "--json", str(tmp_path / "search.json")])
    first, *_ = json.loads((tmp_path / "search.json").read_text())["rows"]
    assert (first["ours"], first["peer"]) == (6, 6)
    losses = first["note"].split("best loss ")[1].split(", without a pruner ")
    assert losses[0] == losses[1]
