"""A table of accuracies, one row per backbone, and which of them differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.engine import cells, comparisons, stats
from analysis.engine.cells import Cell, Table
from analysis.engine.comparisons import Network, Pair
from analysis.engine.confusion import Confusion, confusion, macro_f1
from analysis.engine.protocol import FIELDS, Published, incomparable
from analysis.engine.rows import Predictions
from analysis.engine.stats import SeedSummary
from trainable.config import CLIPS, DATA, SPLIT, fields_that_change
from trainable.network.card import family

AXES = ("backbone",)
FAMILIES = {"panns": "PANN"}  # as papers write them; others in capitals


@dataclass(frozen=True)
class Backbone(Cell):
    """One network over its seeds. What is None waits for seeds, but for parameters, which older runs have not told."""

    num_parameters: int | None  # that were trained
    macro_f1: SeedSummary | None
    confusion: Confusion | None

    @property
    def name(self) -> str:
        """With its family and tag."""
        return self.trial.backbone

    @property
    def family(self) -> str:
        """PANN, TIMM, ..."""
        found = family(self.name)
        return FAMILIES.get(found, found.upper())

    @property
    def pretrained_on(self) -> str:
        """What its weights come from."""
        weights = self.trial.weights
        if weights == "published":
            return self.trial.card.passport.pretrained_on
        return "nothing" if weights == "none" else weights.replace(":", " ")

    @property
    def checkpoint(self) -> str:
        """The published file or its repository; empty where none was used."""
        passport = self.trial.card.passport
        return (passport.hub_id or passport.file) if self.trial.weights == "published" else ""


@dataclass(frozen=True)
class BackboneTable(Table):
    """Networks of a sweep by falling mean accuracy, the incomplete ones last."""

    cells: tuple[Backbone, ...]
    pairs: tuple[Pair, ...]  # of complete networks
    differing: Mapping[str, Mapping[object, tuple[str, ...]]]  # field -> value -> networks, where not all have one

    @property
    def ranked(self) -> tuple[Backbone, ...]:
        """The complete ones."""
        return tuple(cell for cell in self.cells if cell.complete)

    def title(self, cell: Cell) -> str:
        """The name with family and tag."""
        return cell.trial.backbone

    def rank(self, cell: Cell) -> int:
        """1 for the highest mean; incomplete networks go on counting."""
        return 1 + [c.trial.backbone for c in self.cells].index(cell.trial.backbone)

    def pair(self, first: Cell, second: Cell) -> Pair | None:
        """The comparison of a network with a lower one; None if one is incomplete."""
        names = (first.trial.backbone, second.trial.backbone)
        return next((pair for pair in self.pairs if (pair.first, pair.second) == names), None)


def backbone_table(
    name: str,
    rows: pd.DataFrame,
    predictions: Mapping[str, Predictions],
    published: Published | None = None,
    margin: float = 0.02,
) -> BackboneTable:
    """Joins the trials of each backbone over their seeds, and compares the backbones.

    Args:
        name: of the sweep.
        rows: what `analysis.engine.rows.table_rows` gives.
        predictions: of every finished trial, by key.
        published: numbers to stand beside them.
        margin: largest difference to a published number that does not matter, as a fraction.

    Raises:
        ValueError: if trials of one backbone differ in more than the seed or have different numbers of parameters, or
            if backbones have no one test set.
    """
    by_backbone = rows.groupby("backbone", sort=False)
    one_test_set = fields_that_change(DATA, SPLIT, CLIPS)  # or accuracies are of two tasks
    if mixed := [*cells.varying(by_backbone, AXES), *(field for field in one_test_set if rows[field].nunique() > 1)]:
        raise ValueError(
            f"sweep {name} varies {', '.join(dict.fromkeys(mixed))} too; a table of backbones has room for one setting "
            "of each, on one test set"
        )
    reasons = incomparable(published, rows) if published else {}
    found = [_backbone(g, predictions, cells.cell(g, predictions, published, reasons, margin)) for _, g in by_backbone]
    found.sort(key=lambda backbone: -backbone.scores.clip.mean if backbone.scores else np.inf)
    return BackboneTable(
        name=name,
        cells=tuple(found),
        published=published,
        reasons=tuple(reasons),
        margin=margin,
        provenance=cells.provenance(rows, rows["backbone"]),
        pairs=_pairs([backbone for backbone in found if backbone.complete], rows, predictions),
        differing=_differing(found),
    )


def _backbone(rows: pd.DataFrame, predictions: Mapping[str, Predictions], cell: Cell) -> Backbone:
    counts = sorted({int(number) for number in rows["num_parameters"].dropna()})
    if len(counts) > 1:
        raise ValueError(
            f"{cell.trial.backbone} was trained with {' and '.join(f'{count:,}' for count in counts)} parameters; "
            "delete the runs that are out of date from the store"
        )
    seeds = [predictions[key] for key in rows["key"]] if cell.complete else []
    return Backbone(
        **vars(cell),
        num_parameters=counts[0] if counts else None,
        macro_f1=macro_f1(seeds) if seeds else None,
        confusion=confusion(seeds) if seeds else None,
    )


def _pairs(ranked: list[Backbone], rows: pd.DataFrame, predictions: Mapping[str, Predictions]) -> tuple[Pair, ...]:
    seeds = {
        backbone.name: {
            int(seed): predictions[key]
            for name, seed, key in zip(rows["backbone"], rows["seed"], rows["key"], strict=True)
            if name == backbone.name
        }
        for backbone in ranked
    }
    if not seeds:
        return ()
    (first, *others) = ((name, next(iter(found.values()))) for name, found in seeds.items())
    for name, other in others:
        if not cells.same_clips(first[1], other) or first[1].classes != other.classes:
            raise ValueError(
                f"{first[0]} and {name} were scored on different clips; delete the runs that are out of date"
            )
    networks = []
    for backbone in ranked:
        hits = {seed: stats.clip_hits(p.logits, p.labels) for seed, p in seeds[backbone.name].items()}
        accuracy = {seed: float(right.mean()) for seed, right in hits.items()}
        share = np.mean(list(hits.values()), axis=0)
        networks.append(Network(backbone.name, accuracy, share, backbone.trial.data_hz))
    return comparisons.all_pairs(networks, first[1].recording)


def _differing(backbones: list[Backbone]) -> dict[str, dict[object, tuple[str, ...]]]:
    """Fields, seed and weights apart, that are not the same for all: then more than the network was varied."""
    found = {}
    for field in FIELDS:
        if field in (*AXES, "seed", "weights"):  # weights have a column
            continue
        values: dict[object, list[str]] = {}
        for backbone in backbones:
            values.setdefault(getattr(backbone.trial, field), []).append(backbone.name)
        if len(values) > 1:
            found[field] = {value: tuple(names) for value, names in values.items()}
    return found
