"""The clips of a corpus at one rate, as a trial opens them: one memory map that all trials of a machine share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from datasets.corpus import CorpusError

if TYPE_CHECKING:
    from jaxtyping import Int16, Int64


@dataclass(frozen=True)
class Clips:
    """Every clip, in the order of recording ids and of time."""

    wave: Int16[np.ndarray, "clips samples"]  # full scale at 32767
    levels: Int16[np.ndarray, "clips 2"]  # smallest and largest sample of each clip
    recording: np.ndarray  # id, a string for each clip
    number: Int64[np.ndarray, " clips"]  # place of the clip in its recording
    label: Int64[np.ndarray, " clips"]  # place of its class in `classes`
    classes: tuple[str, ...]
    rate_hz: int


def open_clips(folder: Path) -> Clips:
    """Opens one entry of the cache; nothing is read but its manifest.

    Raises:
        CorpusError: if the entry is not whole.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        table = pd.read_csv(folder / "clips.csv", dtype={"recording": str, "label": str}, keep_default_na=False)
        wave = np.load(folder / "clips.npy", mmap_mode="r")
        levels = np.load(folder / "levels.npy")
    except (OSError, ValueError) as error:
        raise CorpusError(f"{folder}: not a whole cache entry ({error}); delete it, and it is built again") from None
    if not len(wave) == len(levels) == len(table) == manifest["num_clips"]:
        raise CorpusError(f"{folder}: {len(wave)} clips of {manifest['num_clips']}; delete it, and it is built again")
    classes = tuple(manifest["classes"])
    return Clips(
        wave=wave,
        levels=levels,
        recording=table["recording"].to_numpy(dtype=str),
        number=table["clip"].to_numpy(dtype=np.int64),
        label=table["label"].map(classes.index).to_numpy(dtype=np.int64),
        classes=classes,
        rate_hz=manifest["rate_hz"],
    )
