"""The command line that studies and their tables share, so that the same words name the same trials in both."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, overload

from datasets.engine.corpus import CorpusError, shown
from datasets.engine.remote import Remote, check_address
from sweeps.engine.forecast.placement import Asked
from sweeps.engine.located import Located, default_data, default_storage, folder, from_environment
from sweeps.engine.plan import Sweep, varied
from sweeps.engine.search.search import Search
from trainable.config import parse_fields

ROOT = Path(__file__).resolve().parents[2]
Value = TypeVar("Value")
MOST = 1_000_000  # of anything that is counted
MAX_SEEDS = 10_000


def remote(args: argparse.Namespace) -> Remote | None:
    """The object store that the storage is a working copy of, if any."""
    return Remote(args.remote, args.storage) if args.remote else None


def whole(word: str, least: int = 0) -> int:
    """A whole number on the command line.

    Raises:
        ArgumentTypeError: if it is none, or nothing can have so many.
    """
    try:
        number = int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(word)}: write a whole number") from None
    if not least <= number <= MOST:
        raise argparse.ArgumentTypeError(f"{shown(number)}: must be at least {least} and at most {MOST:,}")
    return number


def count(word: str) -> int:
    """A number of things on the command line, of which there must be one."""
    return whole(word, least=1)


def positive(word: str, most: float = 1e9, least: float = 1e-9) -> float:
    """A finite number on the command line, above 0 if `least` is.

    Raises:
        ArgumentTypeError: if it is none.
    """
    try:
        number = float(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shown(word)}: write a number") from None
    if not least <= number <= most:  # no comparison with nan holds
        low = "above 0" if not number > 0 and least else f"at least {least:g}"
        raise argparse.ArgumentTypeError(f"{shown(word)}: must be {low} and at most {most:g}")
    return number


def points(word: str) -> float:
    """A difference in points of per cent on the command line."""
    return positive(word, most=100, least=0)


def share(word: str) -> float:
    """A share of a GPU on the command line, or how many whole ones."""
    if (number := positive(word, most=1_000)) > 1 and not number.is_integer():
        raise argparse.ArgumentTypeError(f"{word}: must be above 0 and at most 1, or a whole number of GPUs")
    return number


def address(word: str) -> str:
    """A store on the command line; without a password, which would stand in messages and in the shell's history."""
    if not word:
        raise argparse.ArgumentTypeError("is empty; name a store, or leave the flag out")
    try:
        check_address(word, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN")
    except CorpusError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return word


def accelerator(word: str) -> str:
    """Ray's name of a GPU on the command line."""
    if not re.fullmatch(r"[\w.-]{1,64}", word, re.ASCII):
        raise argparse.ArgumentTypeError(f"{shown(word)}: write Ray's name of a GPU, such as H100")
    return word


def add_plan_flags(parser: argparse.ArgumentParser) -> None:
    """What is planned: part of every trial's identity."""
    group = parser.add_argument_group("the plan")
    group.add_argument("--classes", metavar="A,B", help="only these classes of the corpus")
    group.add_argument(
        "--split", help="recording, published, or a group that no two roles may share (vessel, day, ...)"
    )
    group.add_argument("--seeds", metavar="1-3,7", help="these seeds instead of the study's")
    group.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help="any field of TrialConfig, in all trials"
    )
    group.add_argument("--limit", type=count, metavar="N", help="only the first N trials")


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    """Where results are."""
    uri, path = _environment(parser, default_storage)
    group = parser.add_argument_group("results")
    group.add_argument(
        "--store",
        type=address,
        metavar="URI",
        default=os.environ.get("SOUNDINGS_STORE") or None,
        help="MLflow: sqlite:////a/file.db or a server (default: mlflow.db in --storage)",
    )
    group.add_argument(
        "--optuna",
        type=address,
        metavar="URI",
        help="studies of searches, for optuna-dashboard (default: sqlite, optuna.db in --storage)",
    )
    group.add_argument(
        "--storage",
        action=Located,
        const="remote",
        metavar="DIR|URI",
        default=path,
        help="checkpoints and predictions (%(default)s)",
    )
    parser.set_defaults(remote=uri)


def add_data_flags(parser: argparse.ArgumentParser) -> None:
    """Which data, on this machine: no part of a trial's identity, but the files' bytes are."""
    uri, path = _environment(parser, default_data)
    group = parser.add_argument_group("the data on this machine")
    group.add_argument(
        "--data-root",
        action=Located,
        const="data_uri",
        metavar="DIR|URI",
        default=path,
        help="the folder that holds the corpus (%(default)s)",
    )
    parser.set_defaults(data_uri=uri)
    group.add_argument("--split-file", type=folder, metavar="FILE", help="the authors' split, for --split published")
    group.add_argument(
        "--bad-files",
        choices=("refuse", "drop"),
        default="refuse",
        help="stop at bad audio, or leave it out and record it",
    )
    group.add_argument(
        "--cache-dir",
        type=folder,
        metavar="DIR",
        default=_environment(parser, lambda: from_environment("CACHE_DIR")),
        help="resampled clips, best on a disk of each node (default: cache in --storage)",
    )


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """What a run needs on this machine: no part of a trial's identity."""
    group = parser.add_argument_group("this machine")
    group.add_argument(
        "--weights-dir",
        type=folder,
        metavar="DIR",
        default=_environment(parser, lambda: from_environment("WEIGHTS_DIR")),
        help="published checkpoints (default: weights in --storage)",
    )
    group.add_argument("--max-concurrent", type=count, metavar="N", help="at most N trials at once")
    group.add_argument(
        "--cpus-per-trial",
        type=count,
        metavar="N",
        default=1,
        help="cores of a trial, for each of its GPUs (%(default)s)",
    )
    group.add_argument(
        "--gpus-per-trial",
        type=share,
        metavar="X",
        help="of a GPU, such as 0.25, or so many that share each batch, such as 2 (default: by the network and the "
        "length of its input)",
    )
    group.add_argument(
        "--gpu-memory-gb", type=positive, metavar="GB", default=24.0, help="of one GPU, for that rule (%(default)g)"
    )
    group.add_argument(
        "--accelerator", type=accelerator, metavar="TYPE", help="Ray's name of the GPU to use, such as H100"
    )
    _add_worker_flags(group)
    group.add_argument("--dry-run", action="store_true", help="print the plan, and run nothing")
    group.add_argument("--report", action="store_true", help="print the table of what is finished, and run nothing")


def _add_worker_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--hang-after",
        type=count,
        default=1_800,
        metavar="S",
        help="a worker that makes no step for so many seconds is ended, and its trial tried again (%(default)s)",
    )
    group.add_argument(
        "--nice",
        type=int,
        choices=range(20),
        default=0,
        metavar="N",
        help="niceness of the workers, 0 to 19, for a machine that others use (%(default)s; on a cluster its own file "
        "says it)",
    )


def _environment(parser: argparse.ArgumentParser, look: Callable[[], Value]) -> Value:
    """What the environment says; what cannot be used ends the command as a flag's value would."""
    try:
        return look()
    except CorpusError as error:
        parser.error(str(error))


@overload
def planned(sweep: Sweep, args: argparse.Namespace) -> Sweep: ...
@overload
def planned(sweep: Search, args: argparse.Namespace) -> Search: ...
def planned(sweep: Sweep | Search, args: argparse.Namespace) -> Sweep | Search:
    """The sweep or search as the flags have it; --seeds of a search are those that confirm its best.

    Raises:
        ValueError: if a flag's value makes a trial impossible.
    """
    seeds = parse_seeds(args.seeds)
    if isinstance(sweep, Search):
        return sweep.varied(settings(args), tuple(seeds), args.limit)
    return varied(sweep, settings(args), seeds, args.limit)


def settings(args: argparse.Namespace) -> dict[str, str | int | float]:
    """The fields that the flags set in every trial."""
    words = [f"{name}={value}" for name in ("classes", "split") if (value := getattr(args, name)) is not None]
    return parse_fields([*words, *args.set])


def asked(args: argparse.Namespace) -> Asked:
    """What the flags ask of the nodes."""
    return Asked(
        args.max_concurrent, args.cpus_per_trial, args.gpus_per_trial, args.gpu_memory_gb, args.accelerator or ""
    )


def variant(args: argparse.Namespace) -> str:
    """The settings in words, the same for the same settings however they were written; empty when there are none."""
    return " ".join(f"{name}={value}" for name, value in sorted(settings(args).items()))


def as_flags(args: argparse.Namespace) -> list[str]:
    """The flags that make another command speak of the same trials and the same results."""
    words = [("--classes", args.classes), ("--split", args.split), ("--seeds", args.seeds), ("--limit", args.limit)]
    words += [("--set", word) for word in args.set] + [("--store", args.store), ("--optuna", args.optuna)]
    if (args.remote, args.storage) != default_storage():
        words.append(("--storage", args.remote or args.storage))
    return [str(part) for flag, value in words if value is not None for part in (flag, value)]


def store_uri(args: argparse.Namespace) -> str:
    """The MLflow store that the flags name."""
    return args.store or _sqlite(args.storage / "mlflow.db")


def optuna_uri(args: argparse.Namespace) -> str:
    """The database for the studies of searches, as Optuna names it."""
    return args.optuna or _sqlite(args.storage / "optuna.db")


def _sqlite(path: Path) -> str:
    """An address in which SQLAlchemy decodes %20 and ends a path at a question mark."""
    return f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"


def parse_seeds(text: str | None) -> list[int]:
    """The seeds in `1,2,3`, or in `1-3,7`.

    Raises:
        ValueError: if one is not a whole number or stands there twice, or a range is reversed or too long.
    """
    seeds: list[int] = []
    for word in text.split(",") if text is not None else []:
        if not (found := re.fullmatch(r"\s*(\d{1,16})(?:\s*-\s*(\d{1,16}))?\s*", word, re.ASCII)):
            raise ValueError(f"--seeds {shown(text)}: write whole numbers, 1,2,3 or 1-3,7")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise ValueError(f"--seeds {shown(text)}: write the smaller number first, {last}-{first}")
        if len(seeds) + last - first >= MAX_SEEDS:
            raise ValueError(f"--seeds {shown(text)}: names more than {MAX_SEEDS:,} seeds; name fewer")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"--seeds {shown(text)}: a seed stands there twice")
    return seeds
