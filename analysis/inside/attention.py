"""The focus of Grad-CAM maps, as two areas with their uncertainty over recordings."""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from analysis.engine.inference.influences import of_mean
from analysis.engine.stats import UNKNOWN, Interval
from analysis.engine.wording import between, percent, signed

if TYPE_CHECKING:
    from jaxtyping import Float

    from trainable.config import TrialConfig

KINDS = {"correct": True, "wrong": False}
Group = tuple[np.ndarray, np.ndarray]  # a value and a recording for each map


def half_area(maps: Float[np.ndarray, "clips frames mels"]) -> Float[np.ndarray, " clips"]:
    """The share of the time-frequency plane in which the map exceeds half of its maximum."""
    share: np.ndarray = (maps > maps.max(axis=(1, 2), keepdims=True) / 2).mean(axis=(1, 2))
    return share


def effective_area(maps: Float[np.ndarray, "clips frames mels"]) -> Float[np.ndarray, " clips"]:
    """The share of the plane that a constant map of the same entropy would cover; 1 for a map of zeros.

    It is exp(H) / number of points, where H is the entropy of the map as a distribution over the plane.
    """
    flat = maps.reshape(len(maps), -1).astype(np.float64)
    total = flat.sum(axis=1, keepdims=True)
    shares = np.where(total > 0, flat / np.where(total > 0, total, 1), 1 / flat.shape[1])
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    area: np.ndarray = np.exp(-(shares * logs).sum(axis=1)) / flat.shape[1]
    return area


MEASURES = {"half_area": half_area, "effective_area": effective_area}


def difference(group: Group, other: Group) -> tuple[float, Interval]:
    """The mean of a group minus that of another, with its 95 % interval on recordings to come.

    The effect of a recording that has maps in both groups cancels.

    Returns:
        The difference and its interval; NaN if either group is empty; an unknown interval if either group comes from
        fewer than two recordings.
    """
    if not len(group[0]) or not len(other[0]):
        return math.nan, UNKNOWN
    recordings = np.unique(np.concatenate([group[1], other[1]]))
    apart = of_mean(*group, recordings) - of_mean(*other, recordings)
    few = min(len(np.unique(group[1])), len(np.unique(other[1]))) < 2
    return apart.value, UNKNOWN if few else apart.interval()


def focus(samples: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Every mean and every difference of means, for both measures.

    Args:
        samples: the samples of each network by its name, as in `heatmaps.Averages`.

    Returns:
        Columns: measure, network ("A" or "A − B"), kind ("correct", "wrong" or "correct − wrong"), value, low, high,
        num_maps, num_recordings (of both sides together, for a difference), num_zero (maps of zeros, left out). Areas
        are fractions of the plane.
    """
    rows = []
    for measure in MEASURES:
        groups = {
            (name, kind): _group(of, measure, right) for name, of in samples.items() for kind, right in KINDS.items()
        }
        for name, of in samples.items():
            for kind, right in KINDS.items():
                row = _mean_row(groups[name, kind])
                num_zero = int(of.loc[of["right"] == right, measure].isna().sum())
                rows.append({"measure": measure, "network": name, "kind": kind, **row, "num_zero": num_zero})
            row = _difference_row(groups[name, "correct"], groups[name, "wrong"])
            rows.append({"measure": measure, "network": name, "kind": "correct − wrong", **row})
        for name, other in itertools.combinations(samples, 2):
            for kind in KINDS:
                row = _difference_row(groups[name, kind], groups[other, kind])
                rows.append({"measure": measure, "network": f"{name} − {other}", "kind": kind, **row})
    return pd.DataFrame(rows).astype(dict.fromkeys(("num_maps", "num_recordings", "num_zero"), "Int64"))


def markdown(areas: pd.DataFrame, captions: tuple[str, ...]) -> str:
    """The result of `focus` as a table in percent of the plane, one line for both measures, with its captions."""
    head = ("Network", "Clips", "Above half", "95 %", "Effective area", "95 %", "Maps", "Recordings")
    lines: list[tuple[str, ...]] = [head]
    records = areas.to_dict("records")
    for network, kind in dict.fromkeys((row["network"], row["kind"]) for row in records):
        pair = [row for row in records if (row["network"], row["kind"]) == (network, kind)]
        numbers = []
        for row in pair:
            worded = signed if "−" in network + kind and not math.isnan(row["value"]) else percent
            numbers += [worded(row["value"]), between(Interval(row["low"], row["high"]))]
        zero = pair[0]["num_zero"]
        maps = f"{pair[0]['num_maps']:,}" + (f" (and {zero} of zeros)" if pd.notna(zero) and zero else "")
        lines.append((network, kind, *numbers, maps, f"{pair[0]['num_recordings']:,}"))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]  # aligned, for readers of plain text
    lines.insert(1, tuple("-" * width for width in widths))
    table = "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)
    bullets = [textwrap.fill(line, 116, initial_indent="- ", subsequent_indent="  ") for line in captions]
    return "\n\n".join(["# Focus of the Grad-CAM maps", table, "\n".join(bullets)]) + "\n"


def captions(sizes: Mapping[TrialConfig, tuple[int, ...]], clips_per_class: int | None) -> tuple[str, ...]:
    """Captions: the meaning of each number and interval, and the resolution of the last maps.

    Args:
        sizes: frames and bands of the last map of each network; frames alone if the map has no frequencies.
        clips_per_class: the number of test clips taken of each class; None for all.
    """
    few = f" At most {clips_per_class} test clips of each class, evenly spread." if clips_per_class else ""
    measures = (
        "Percent of the time-frequency plane, averaged over the maps of all clips and seeds, each map for the class "
        "that the network predicts. Above half: the area in which a map exceeds half of its maximum. Effective area: "
        "the area of a constant map with the same entropy. Smaller is narrower; maps that are zero everywhere are left "
        "out." + few
    )
    intervals = (
        "95 %: interval on recordings to come, for these networks; it covers the choice of recordings in the test set, "
        "not variation with the seed. Differences are in percentage "
        "points; between networks, each mean is over the network's own clips of that kind."
    )
    return measures, intervals, *(_resolution(trial, size) for trial, size in sizes.items())


def _resolution(trial: TrialConfig, size: tuple[int, ...]) -> str:
    frames, mels = trial.logmel_shape
    each = f"{trial.clip_s / size[0]:.2f} s"
    if len(size) == 1:
        return (
            f"{trial.backbone}: the last map has {size[0]} cell{'s' * (size[0] > 1)} of {each} and no frequencies; it "
            "is shown and measured as constant over frequency, so its area is not comparable with that of others."
        )
    return (
        f"{trial.backbone}: the last map has {size[0]} x {size[1]} cells of {each} x {mels / size[1]:g} mel bands, "
        f"interpolated to {frames} x {mels}: nothing finer is resolved."
    )


def _group(samples: pd.DataFrame, measure: str, right: bool) -> Group:
    """The maps of right or of wrong clips, without maps of zeros."""
    chosen = samples[(samples["right"] == right) & samples[measure].notna()]
    return chosen[measure].to_numpy(), chosen["recording"].to_numpy(dtype=str)


def _mean_row(group: Group) -> dict[str, object]:
    values, recording = group
    if not len(values):
        return _row(math.nan, UNKNOWN, group)
    return _row(float(values.mean()), of_mean(values, recording, np.unique(recording)).interval(), group)


def _difference_row(group: Group, other: Group) -> dict[str, object]:
    joined = tuple(np.concatenate(pair) for pair in zip(group, other, strict=True))
    return _row(*difference(group, other), (joined[0], joined[1]))


def _row(value: float, interval: Interval, group: Group) -> dict[str, object]:
    counts = {"num_maps": len(group[0]), "num_recordings": len(np.unique(group[1]))}
    return {"value": value, "low": interval.low, "high": interval.high, **counts}
