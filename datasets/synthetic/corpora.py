"""Writes a small invented corpus in a real corpus's layout, to try everything without the recordings.

    python -m datasets.synthetic deepship DIR --recordings-per-class 12 --seconds 10 30
    python -m datasets.synthetic esc50 DIR

The classes are learnable and overlap; no number measured on them says anything about real recordings.
"""

from __future__ import annotations

import csv
import datetime
import itertools
import string
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile

from datasets.engine.corpus import folder
from datasets.engine.refusal import Refusal
from datasets.engine.words.flags import Flags
from datasets.synthetic.events import CLIP_S, EVENTS, MIN_RATE_HZ, event_sound
from datasets.synthetic.ships import KINDS, draw_passage, draw_vessel, ship_sound

if TYPE_CHECKING:
    from jaxtyping import Float

SYLLABLES = ("BAR", "DO", "FEN", "GA", "HOL", "KI", "LU", "MER", "NOR", "PEL", "QUA", "RI", "SOL", "TA", "VO", "WEN")
MOST, MOST_FILES = 1_000_000, 10_000  # of hertz and seconds, and of files of a class
FIRST_DAY = datetime.date(2017, 11, 4)


def write_deepship(
    root: Path,
    num_per_class: int = 12,
    seconds: tuple[float, float] = (10, 30),
    rate_hz: int = 32_000,
    seed: int = 0,
    subtype: str = "FLOAT",
) -> None:
    """Writes recordings of four classes of ships, two or three of each vessel, and the metafiles.

    Args:
        root: a folder that is empty or does not exist.
        seconds: shortest and longest recording [s].
        subtype: "FLOAT", as the real files are, or "PCM_16".

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    shortest_s, longest_s = seconds
    numbers = 0 < num_per_class <= MOST_FILES and seed >= 0
    if not (numbers and 0.1 <= shortest_s <= longest_s <= MOST and 1_000 <= rate_hz <= MOST):
        raise ValueError(
            f"num_per_class={num_per_class}, seconds={seconds}, rate_hz={rate_hz}, seed={seed}: take 1 to "
            f"{MOST_FILES:,} recordings, 0.1 s <= shortest <= longest <= {MOST:,} s, 1,000 to {MOST:,} Hz, and a seed "
            "of at least 0"
        )
    _claim(root)
    total_s = sum(
        _write_class(root, index, num_per_class, seconds, rate_hz, seed, subtype) for index in range(len(KINDS))
    )
    print(f"{len(KINDS) * num_per_class} recordings, {total_s:.0f} s at {rate_hz} Hz in {root}")


def write_esc50(
    root: Path, num_per_class: int = 8, num_classes: int = len(EVENTS), rate_hz: int = 44_100, seed: int = 0
) -> None:
    """Writes clips of everyday sounds, one or two takes of each source, and their table.

    Args:
        root: a folder that is empty or does not exist.
        num_per_class: clips; 8 or more put every class into each of the five folds.

    Raises:
        FileExistsError: if there is something in `root`.
        ValueError: if a number is out of its range.
    """
    numbers = 0 < num_per_class <= MOST_FILES and 0 < num_classes <= len(EVENTS) and seed >= 0
    if not (numbers and MIN_RATE_HZ <= rate_hz <= MOST):
        raise ValueError(
            f"num_per_class={num_per_class}, num_classes={num_classes}, rate_hz={rate_hz}, seed={seed}: take 1 to "
            f"{MOST_FILES:,} clips, 1 to {len(EVENTS)} classes, {MIN_RATE_HZ:,} to {MOST:,} Hz, a seed of at least 0"
        )
    _claim(root)
    (root / "audio").mkdir()
    (root / "meta").mkdir()
    sources = _rng(seed).permutation(np.arange(100_000, 1_000_000))  # numbers of a sound archive, each used once
    rows: list[tuple[str | int | bool, ...]] = []
    for index, category in enumerate(list(EVENTS)[:num_classes]):
        event = EVENTS[category]
        for clip, (group, take) in enumerate(_grouped(num_per_class, (2, 1))):
            fold, source = group % 5 + 1, int(sources[group * len(EVENTS) + index])
            sound = event_sound(event, _rng(seed, index, 1, group), _rng(seed, index, 2, clip), rate_hz)
            name = f"{fold}-{source}-{'AB'[take]}-{event.target}.wav"
            _write_wav(root / "audio" / name, sound, rate_hz, "PCM_16")
            rows.append((name, fold, event.target, category, event.in_esc10, source, "AB"[take]))
    with (root / "meta/esc50.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("filename", "fold", "target", "category", "esc10", "src_file", "take"))
        writer.writerows(sorted(rows))
    print(f"{len(rows)} recordings, {len(rows) * CLIP_S} s at {rate_hz} Hz in {root}")


def _write_class(
    root: Path, index: int, num: int, seconds: tuple[float, float], rate_hz: int, seed: int, subtype: str
) -> float:
    """Writes one class of ships; returns how long its recordings are together [s]."""
    label, kind = list(KINDS.items())[index]
    names = _vessel_names(seed)[index :: len(KINDS)]
    order = _rng(seed, index, 0)
    vessels = [vessel for vessel, _ in _grouped(num, (2, 3))]
    order.shuffle(vessels)
    rows, total_s = [], 0.0
    for identity, (number, (day, start)) in enumerate(zip(vessels, _schedule(num, order), strict=True), start=1):
        vessel, rng = draw_vessel(kind, _rng(seed, index, 1, number)), _rng(seed, index, 2, identity)
        duration_s = round(rng.uniform(*seconds), 1)
        passage = draw_passage(duration_s, rng)
        sound = ship_sound(vessel, passage, round(duration_s * rate_hz), rate_hz, rng)
        path = root / label / f"{day}-{identity}" / f"{start}.wav"
        path.parent.mkdir(parents=True)
        _write_wav(path, sound, rate_hz, subtype)
        name = names[number] + " " * (identity % 2)  # the real names end in a space or not
        ranges = f"{passage.start_range_m:.0f}-{passage.end_range_m:.0f}"
        rows.append(f"{identity},{vessel.ais_code},{name},{day[:8]},{start},{duration_s:.0f},{ranges},\r\n")
        total_s += duration_s
    (root / label / f"{label.lower()}-metafile").write_text("".join(rows), newline="")
    return total_s


def _schedule(num: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Days (with a letter where a day has several recordings) and times, in order and all different."""
    days = FIRST_DAY.toordinal() + np.cumsum(rng.integers(0, 4, num))
    when = sorted(zip(days.tolist(), rng.choice(86_400, num, replace=False).tolist(), strict=True))
    schedule = []
    for day, group in itertools.groupby(when, key=lambda pair: pair[0]):
        times = [f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}" for _, second in group]
        letters = string.ascii_lowercase if len(times) > 1 else ("",)
        schedule += [
            (f"{datetime.date.fromordinal(day):%Y%m%d}{letter}", time)
            for letter, time in zip(letters, times, strict=False)
        ]
    return schedule


def _grouped(num: int, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """The first `num` of (group, member), the groups' sizes taken in turn."""
    endless = ((group, member) for group in itertools.count() for member in range(sizes[group % len(sizes)]))
    return list(itertools.islice(endless, num))


def _vessel_names(seed: int) -> list[str]:
    """All names there are, in the seed's order."""
    words = ["".join(pair) for pair in itertools.product(SYLLABLES, repeat=2)]
    names = [" ".join(pair) for pair in itertools.product(words, repeat=2)]
    return [names[k] for k in _rng(seed).permutation(len(names))]


def _rng(seed: int, *path: int) -> np.random.Generator:
    """A stream of its own for each path."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=path))


def _write_wav(path: Path, sound: Float[np.ndarray, " samples"], rate_hz: int, subtype: str) -> None:
    """Writes mono; floats under the header of the real files, because libsndfile's holds the time of day."""
    if subtype != "FLOAT":
        soundfile.write(path, sound, rate_hz, subtype=subtype)
        return
    data = sound.astype("<f4").tobytes()
    form = struct.pack("<4sIHHIIHHH", b"fmt ", 18, 3, 1, rate_hz, 4 * rate_hz, 4, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, len(sound))
    header = struct.pack("<4sI4s", b"RIFF", 50 + len(data), b"WAVE") + form + fact
    path.write_bytes(header + struct.pack("<4sI", b"data", len(data)) + data)


def _claim(root: Path) -> None:
    """Makes the folder, unless there is something in it."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(f"{root} is not empty: name a new folder, or remove this one first")
    root.mkdir(parents=True, exist_ok=True)


def _parser() -> Flags:
    parser = Flags("python -m datasets.synthetic", __doc__)
    layouts = parser.add_subparsers(dest="layout", required=True)
    deepship = layouts.add_parser("deepship", help="four classes of ships")
    deepship.add_argument("--recordings-per-class", dest="num_per_class", type=int, default=12, metavar="N")
    deepship.add_argument("--seconds", type=float, nargs=2, default=(10, 30), metavar=("LOW", "HIGH"))
    deepship.add_argument("--rate", dest="rate_hz", type=int, default=32_000, metavar="HZ")
    deepship.add_argument("--subtype", choices=("FLOAT", "PCM_16"), default="FLOAT")
    deepship.set_defaults(write=write_deepship)
    esc50 = layouts.add_parser("esc50", help="everyday sounds in five folds")
    esc50.add_argument("--clips-per-class", dest="num_per_class", type=int, default=8, metavar="N")
    esc50.add_argument("--classes", dest="num_classes", type=int, default=len(EVENTS), metavar="N")
    esc50.add_argument("--rate", dest="rate_hz", type=int, default=44_100, metavar="HZ")
    esc50.set_defaults(write=write_esc50)
    for layout in (deepship, esc50):
        layout.add_argument("root", metavar="DIR")
        layout.add_argument("--seed", type=int, default=0, metavar="S")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Writes the corpus that the command line names."""
    parser = _parser()
    options = vars(parser.parse_args(arguments))
    write, _ = options.pop("write"), options.pop("layout")
    try:
        write(**options | {"root": folder(options["root"], "DIR ")})
    except (OSError, ValueError, Refusal) as error:
        parser.exit(2, f"datasets.synthetic: {error}\n")
