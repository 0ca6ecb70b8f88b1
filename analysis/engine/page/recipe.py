"""The recipe of a study in words: what was varied, on which recordings, how it was trained, when, and at what cost."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from analysis.engine.runs.folds import split_words
from analysis.engine.tables import labels
from datasets.engine.splitting.folds import fold_named
from sweeps.engine.plan import differing, stated
from sweeps.engine.store.runs import Run
from trainable.config import CLIPS, DATA, FIELDS, INPUT, NETWORK, SCORE, SPLIT, START, Changes, TrialConfig

if TYPE_CHECKING:
    import pandas as pd

MOST, LONGEST = 8, 24  # values of a field that are listed, and letters of one
ROOMS = {"Recordings": DATA | SPLIT | CLIPS, "Network": NETWORK | START | INPUT, "Scoring": SCORE}
TRAINING = "Training"  # the room of all other fields


@dataclass(frozen=True)
class Line:
    """One line of a recipe: its name, and what it says; or a command."""

    name: str
    words: tuple[str, ...]
    is_command: bool = False


def recipe(
    trials: pd.DataFrame, runs: Collection[Run], trained_s: float, commands: Mapping[str, str]
) -> tuple[Line, ...]:
    """The lines of a recipe; one that has nothing to say is left out.

    Args:
        trials: the rows of `analysis.engine.rows.table_rows`.
        runs: the finished runs.
        trained_s: the time of all their epochs [s]; 0 if it is unknown.
        commands: by name, such as the one that makes the runs.
    """
    configs: list[TrialConfig] = list(trials["config"])
    varied = [name for name in differing(configs) if name != "seed"]
    rooms = _constant(configs, varied)
    if "split" in varied and (folds := _folds(configs)):
        varied.remove("split")
        rooms["Recordings"].append(f"split by {folds}")
    rooms["Recordings"] += _counted(trials)
    lines = [
        Line("Varied", tuple(_values(name, configs) for name in varied)),
        *(Line(name, tuple(rooms[name])) for name in ("Recordings", "Network", TRAINING, "Scoring")),
        Line("Seeds", (_seeds(trials["seed"]),)),
        Line("Date", _dates(runs)),
        Line("Compute", _compute(trials, trained_s)),
        *(Line(name, (command,), is_command=True) for name, command in commands.items()),
    ]
    return tuple(line for line in lines if any(line.words))


def duration(seconds: float) -> str:
    """A time in the largest unit of which it has at least two: `90 s`, `33 min`, `12.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7_200 else f"{seconds / 3_600:.1f} h"


def _constant(configs: Sequence[TrialConfig], varied: Collection[str]) -> dict[str, list[str]]:
    """The phrases of the fields that all trials share, by room."""
    rooms: dict[str, list[str]] = {name: [] for name in (*ROOMS, TRAINING)}
    for field in stated(configs):
        if field in ("seed", *varied) or field.partition(".")[0] in varied:
            continue
        aspects: Changes = FIELDS[field.partition(".")[0]].metadata["changes"]
        room = next((name for name, its in ROOMS.items() if aspects & its), TRAINING)
        rooms[room] += filter(None, [labels.phrase(field, configs[0])])
    return rooms


def _folds(configs: Sequence[TrialConfig]) -> str:
    """The split whose folds are all that splits differ in, such as `speaker, 5 folds`; empty if there is none."""
    folds = {split: fold for trial in configs if (fold := fold_named(split := trial.split))}
    units = {(fold.unit, fold.total) for fold in folds.values()}
    return split_words(configs[0].split, len(folds)) if len(units) == 1 and len(folds) > 1 else ""


def _values(field: str, configs: Sequence[TrialConfig]) -> str:
    """The values of a field in the order of the plan, such as `data rate: 2 kHz, 4 kHz`; of long ones, their number."""
    values = list(dict.fromkeys(labels.words(field, trial.get(field)) for trial in configs))
    if max(map(len, values)) > LONGEST:
        return f"{labels.title(field)}: {len(values)} values"
    listed = ", ".join(values[:MOST])
    return f"{labels.title(field)}: {listed}{f' and {len(values) - MOST} more' if len(values) > MOST else ''}"


def _counted(trials: pd.DataFrame) -> list[str]:
    """How many recordings and clips each role has; with folds, in any of them."""
    words = []
    for name in ("recordings", "clips"):
        counts = [count for count in dict.fromkeys(trials[f"corpus_{name}"]) if count]
        if counts:
            others = f" and {len(counts) - 1} other counts" if len(counts) > 1 else ""
            words.append(f"{counts[0].replace('/', ' / ')} {name} for training / validation / test{others}")
    return words


def _seeds(seeds: Iterable[int]) -> str:
    numbers = sorted({int(seed) for seed in seeds})
    ranged = len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1))
    words = f"{numbers[0]} to {numbers[-1]}" if ranged else ", ".join(map(str, numbers))
    return f"{words} (n = {len(numbers)})"


def _dates(runs: Iterable[Run]) -> tuple[str, ...]:
    """The days on which the first and the last run ended, in UTC."""
    ended = sorted(run.ended_unix_s for run in runs if run.ended_unix_s)
    if not ended:
        return ()
    days = [datetime.fromtimestamp(moment, UTC) for moment in (ended[0], ended[-1])]
    first, last = (f"{day.day} {day:%B %Y}" for day in days)
    return (f"{first} to {last} (UTC)" if first != last else f"{first}, {days[0]:%H:%M} to {days[1]:%H:%M} UTC",)


def _compute(trials: pd.DataFrame, trained_s: float) -> tuple[str, ...]:
    """The number of runs, the time of their epochs, and the devices."""
    done = trials[trials["status"] == "finished"]
    devices = [device for device in dict.fromkeys(done["device"]) if device]
    time = [f"{duration(trained_s)} in their epochs"] if trained_s else []
    return (f"{len(done)} runs of {len(trials)}", *time, *[f"on {' and '.join(devices)}"] * bool(devices))
