"""A table of backbones as Markdown, LaTeX and CSV."""

from __future__ import annotations

import math

import pandas as pd

from analysis.engine import tables
from analysis.engine.backbones.backbone_wording import (
    CLASS_CAPTION,
    against_best,
    backbone_captions,
    count,
    p_value,
    pair_captions,
    short,
)
from analysis.engine.backbones.backbones import Backbone, BackboneTable
from analysis.engine.comparisons import Pair
from analysis.engine.tables import Grid, Text
from analysis.engine.wording import between, detail_captions, mean_std, signed

MAIN_HEAD = ("#", "Backbone", "Type", "Pre-trained on", "Parameters", "Accuracy", "Published", "Against the best")
NETWORK_HEAD = ("#", "Backbone", "Checkpoint", "Published as", "Type", "Parameters")
PAIR_HEAD = ("Higher", "Lower", "Difference", "p", "p, corrected", "Test", "95 % seeds", "95 % recordings")


def main_grid(table: BackboneTable) -> Grid:
    """The compact table: by falling mean accuracy."""
    rows = [
        [
            *_names(table, backbone, backbone.name),
            Text(backbone.family),
            Text(backbone.pretrained_on),
            Text(count(backbone.num_parameters)),
            tables.ours(table, backbone),
            tables.published(backbone),
            Text(against_best(table, backbone)),
        ]
        for backbone in table.cells
    ]
    return Grid(MAIN_HEAD, rows)


def detail_grid(table: BackboneTable) -> Grid:
    """Every backbone with its intervals."""
    rows = [[*_names(table, backbone, short(backbone)), *tables.detail(table, backbone)] for backbone in table.cells]
    return Grid(("#", "Backbone", *tables.DETAIL_HEAD), rows)


def class_grid(table: BackboneTable) -> Grid:
    """Macro-F1 and the recall of every class, of the complete backbones."""
    rows = []
    for backbone in table.ranked:
        assert backbone.macro_f1 and backbone.confusion  # noqa: PT018 - both or neither
        scores = [backbone.macro_f1, *backbone.confusion.recall]
        rows.append(
            [*_names(table, backbone, short(backbone)), *(Text(mean_std(score.mean, score.std)) for score in scores)]
        )
    return Grid(("#", "Backbone", "Macro-F1", *_classes(table)), rows)


def network_grid(table: BackboneTable) -> Grid:
    """Where each network comes from, and what was published of it."""
    rows = []
    for backbone in table.cells:
        printed = backbone.published.printed if backbone.published else {}
        beside = [Text(printed.get(name, "–"), "published") for name in ("name", "type", "parameters")]
        rows.append([*_names(table, backbone, backbone.name), Text(backbone.checkpoint or "–"), *beside])
    return Grid(NETWORK_HEAD, rows)


def matrix_grid(table: BackboneTable) -> Grid:
    """All pairs as a triangle: each network against the higher ones, which are numbered as in the other tables."""
    above = table.ranked[:-1]
    rows = []
    for i, lower in enumerate(table.ranked[1:], start=1):
        fields = [_pair_text(table.pair(higher, lower)) for higher in above[:i]]
        rows.append([*_names(table, lower, short(lower)), *fields, *[Text("")] * (len(above) - i)])
    return Grid(("#", "Backbone", *(f"vs {table.rank(backbone)}" for backbone in above)), rows)


def pair_grid(table: BackboneTable) -> Grid:
    """All pairs as a list, the clearest first."""
    rows = [
        [
            Text(pair.first),
            Text(pair.second),
            Text(signed(pair.difference)),
            Text(p_value(pair.p)),
            Text(p_value(pair.p_holm), "best" if pair.told_apart else "plain"),
            Text(pair.test),
            Text(between(pair.over_seeds)),
            Text(between(pair.over_recordings)),
        ]
        for pair in sorted(table.pairs, key=lambda pair: (math.isnan(pair.p), pair.p))
    ]
    return Grid(PAIR_HEAD, rows)


def markdown(table: BackboneTable) -> str:
    """All tables but the list of pairs, each with what it means."""
    parts = [
        (main_grid(table), backbone_captions(table)),
        (detail_grid(table), detail_captions(table)),
        (class_grid(table), [CLASS_CAPTION]),
        (matrix_grid(table), pair_captions(table)),
        (network_grid(table), ()),
    ]
    shown = ((grid, lines) for grid, lines in parts if grid.rows)
    blocks = [block for grid, lines in shown for block in (grid.markdown(), tables.bullets(lines)) if block]
    return tables.markdown(table, blocks)


def latex(table: BackboneTable) -> str:
    """The same tables for LaTeX without any package."""
    below = [*detail_captions(table), *tables.remarks(table)]
    parts = [
        (main_grid(table), "Accuracy by backbone.", backbone_captions(table)),
        (detail_grid(table), "Every backbone, with its uncertainty.", below),
        (class_grid(table), "Every class.", [CLASS_CAPTION]),
        (matrix_grid(table), "Every pair.", pair_captions(table)),
        (network_grid(table), "Checkpoints, and the networks as published.", ()),
    ]
    return "\n".join(tables.latex(grid, caption, lines, small=True) for grid, caption, lines in parts if grid.rows)


def csv_frame(table: BackboneTable) -> pd.DataFrame:
    """One row per backbone with every number at full precision, as fractions."""
    return tables.frame(_numbers(table, backbone) for backbone in table.cells)


def pairs_frame(table: BackboneTable) -> pd.DataFrame:
    """One row per pair, in the order of the ranks, as fractions."""
    rows = [
        {
            "first": pair.first,
            "second": pair.second,
            "difference": pair.difference,
            "test": pair.test,
            "first_n": pair.num_seeds[0],
            "second_n": pair.num_seeds[1],
            "paired_std_sample": pair.spread,
            "p": pair.p,
            "p_holm": pair.p_holm,
            "num_pairs": len(table.pairs),
            **tables.ends("difference_seeds95", pair.over_seeds),
            **tables.ends("difference_bootstrap95", pair.over_recordings),
        }
        for pair in table.pairs
    ]
    return tables.frame(rows)


def confusion_frame(table: BackboneTable) -> pd.DataFrame:
    """One row per backbone, true and predicted class, as fractions of the true class."""
    rows = [
        {"backbone": b.name, "true": true, "predicted": said, "mean": mean, "std_sample": std, "n": len(found.shares)}
        for b in table.ranked
        if (found := b.confusion)
        for true, means, deviations in zip(found.classes, found.mean, found.std, strict=True)
        for said, mean, std in zip(found.classes, means, deviations, strict=True)
    ]
    return pd.DataFrame(rows)


def _names(table: BackboneTable, backbone: Backbone, name: str) -> list[Text]:
    return [Text(str(table.rank(backbone))), Text(name, "best" if table.is_best(backbone) else "plain")]


def _classes(table: BackboneTable) -> tuple[str, ...]:
    return next((backbone.confusion.classes for backbone in table.ranked if backbone.confusion), ())


def _pair_text(pair: Pair | None) -> Text:
    if pair is None:
        return Text("–")
    dagger = "†" if pair.over_recordings.low > 0 or pair.over_recordings.high < 0 else ""
    return Text(f"{signed(pair.difference)} ({p_value(pair.p_holm)}){dagger}", "best" if pair.told_apart else "plain")


def _numbers(table: BackboneTable, backbone: Backbone) -> dict[str, object]:
    row: dict[str, object] = {"sweep": table.name, "rank": table.rank(backbone) if backbone.complete else None}
    row |= {"backbone": backbone.name, "type": backbone.family, "pretrained_on": backbone.pretrained_on}
    row |= {"checkpoint": backbone.checkpoint, "num_parameters": backbone.num_parameters}
    row |= tables.numbers(table, backbone)
    row |= tables.summary("macro_f1", backbone.macro_f1)
    recall = backbone.confusion.recall if backbone.confusion else [None] * len(_classes(table))
    for name, score in zip(_classes(table), recall, strict=True):
        row |= tables.summary(f"recall_{name}", score)
    pair = table.pair(table.ranked[0], backbone) if backbone.complete else None
    row |= {"best_p_holm": pair.p_holm if pair else math.nan, "against_best": against_best(table, backbone)}
    printed = backbone.published.printed if backbone.published else {}
    return row | {f"published_{name}": printed.get(name, "") for name in ("name", "type", "parameters")}
