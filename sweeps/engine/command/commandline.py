"""The flags that studies, their tables and the commands of the storage share, parsed into `Options`."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from datasets.engine import corpus
from datasets.engine.corpus import shown
from datasets.engine.refusal import Refusal
from datasets.engine.remote import check_address
from datasets.engine.words.flags import Flags
from sweeps.engine.command.located import COPIES, default_data, default_storage, from_environment, located
from sweeps.engine.command.options import Options
from sweeps.engine.forecast.budget import Limit

Value = TypeVar("Value")
MOST = 1_000_000  # of anything that is counted


def study_parser(study: str, description: str | None = None) -> Flags:
    """The command line of a study."""
    made = Flags(f"python -m sweeps.{study}", description, usage="%(prog)s [FLAG ...]")
    for add in (add_plan_flags, add_data_flags, add_run_flags, add_store_flags, add_cost_flags):
        add(made)
    return made


def options_of(args: argparse.Namespace) -> Options:
    """The options that were parsed, with the folders that depend on others."""
    values = {f.name: value for f in fields(Options) if (value := getattr(args, f.name, None)) is not None}
    values["set"] = tuple(values.get("set", ()))
    places = {"weights_dir": args.storage / "weights", "cache_dir": args.storage / "cache"}
    return Options(**{**places, **values})


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
    """A number of things on the command line, at least one."""
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
    """A difference in percentage points on the command line."""
    return positive(word, most=100, least=0)


def gpu_part(word: str) -> float:
    """A fraction of a GPU, or a number of GPUs, on the command line."""
    if (number := positive(word, most=1_000)) > 1 and not number.is_integer():
        raise argparse.ArgumentTypeError(f"{word}: must be above 0 and at most 1, or a whole number of GPUs")
    return number


def address(word: str) -> str:
    """A store's address on the command line, without a password: messages and the shell's history would show it."""
    if not word:
        raise argparse.ArgumentTypeError("is empty; name a store, or leave the flag out")
    try:
        check_address(word, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN")
    except Refusal as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return word


def accelerator(word: str) -> str:
    """Ray's name of a GPU on the command line."""
    if not re.fullmatch(r"[\w.-]{1,64}", word, re.ASCII):
        raise argparse.ArgumentTypeError(f"{shown(word)}: write Ray's name of a GPU, such as H100")
    return word


def trial_key(word: str) -> str:
    """A trial's key on the command line, or its first digits."""
    if not re.fullmatch("[0-9a-f]{1,12}|all", word):
        raise argparse.ArgumentTypeError(f"{shown(word)}: write a trial's key or its first digits, or all")
    return word


def limit(word: str) -> Limit:
    """A budget on the command line: `12gpu-h`, `0.5cpu-h`."""
    match = re.fullmatch(r"(\d{1,9}\.?\d{0,9})(gpu|cpu)-h", word.lower(), re.ASCII)
    if not match or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{shown(word)}: write a number of hours and of what, 12gpu-h or 3.5cpu-h")
    return Limit(float(match[1]), match[2].upper())


def folder(word: str) -> Path:
    """A path on the command line, made absolute because workers run in other folders."""
    try:
        return corpus.folder(word)
    except Refusal as error:  # of a ValueError argparse would not tell the reason
        raise argparse.ArgumentTypeError(str(error)) from None


class Located(argparse.Action):
    """An action that stores a folder, and its URI under the name in `const`."""

    def __call__(self, parser: Any, args: argparse.Namespace, word: Any, flag: str | None = None) -> None:
        """Stores both values, as argparse asks."""
        try:
            uri, path = located(word, COPIES[self.dest])
        except Refusal as error:
            raise argparse.ArgumentError(self, str(error)) from None
        setattr(args, self.dest, path)
        setattr(args, str(self.const), uri)


def add_plan_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of the plan, which are part of every trial's identity."""
    group = parser.add_argument_group("the plan")
    group.add_argument("--classes", metavar="A,B", help="only these classes of the corpus")
    group.add_argument(
        "--split",
        help="recording, published, or a group that no two roles may share (vessel, day, ...), or several, "
        "vessel+day; or a fold of these: recording:1/5, published:1",
    )
    group.add_argument(
        "--groups", metavar="REGEX", help=r"label and groups in the files' names, '(?P<label>\d)_(?P<speaker>\w+)_'"
    )
    group.add_argument("--target", metavar="GROUP", help="learn this group of the corpus (speaker, ...), not its label")
    group.add_argument("--seeds", metavar="1-3,7", help="these seeds instead of the study's")
    group.add_argument(
        "--until-decided",
        metavar="FIELD",
        nargs="?",
        const="",
        help="add seeds until each pair of its values is decided (default: the study's pairs, or its first field)",
    )
    group.add_argument("--max-seeds", type=count, metavar="N", help="at most so many then, the planned ones too (20)")
    group.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help="any field of TrialConfig, in all trials"
    )
    group.add_argument("--limit", type=count, metavar="N", help="only the first N trials")
    group.add_argument(
        "--small", action="store_true", help="in miniature: narrow networks, few epochs, an invented corpus"
    )


def add_store_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags that locate the results."""
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
    """Adds the flags that locate the data; the files' bytes are part of a trial's identity, their place is not."""
    uri, path = _environment(parser, default_data)
    group = parser.add_argument_group("the data on this machine")
    group.add_argument(
        "--data-root",
        action=Located,
        const="data_uri",
        metavar="DIR|URI",
        default=path,
        help="the folder that holds the corpus" + " (%(default)s)" * (path is not None),
    )
    parser.set_defaults(data_uri=uri)
    of_split = "for --split published: the authors' file, or a list of recording,role"
    group.add_argument("--split-file", type=folder, metavar="FILE", help=of_split)
    on_bad = "stop at bad audio, or leave it out and record it"
    group.add_argument("--bad-files", choices=("refuse", "drop"), default="refuse", help=on_bad)
    group.add_argument(
        "--silence",
        choices=("refuse", "allow"),
        default="refuse",
        help="whether a file without any sound is bad, or meant (a class of silence)",
    )
    group.add_argument(
        "--allow-heard",
        action="store_true",
        help="start from weights=run:KEY though that run was trained on recordings of this test; reports say so",
    )
    group.add_argument(
        "--cache-dir",
        type=folder,
        metavar="DIR",
        default=_environment(parser, lambda: from_environment("CACHE_DIR")),
        help="resampled clips, best on a disk of each node (default: cache in --storage)",
    )


def add_run_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of this machine, which are no part of a trial's identity."""
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
        type=gpu_part,
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


def add_cost_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags on the cost of a sweep and its limits."""
    group = parser.add_argument_group("time and cost")
    group.add_argument(
        "--measure", action="store_true", help="measure each cell of the plan for some seconds; run nothing else"
    )
    group.add_argument(
        "--why", type=trial_key, metavar="KEY", help="why this trial will run, or will not ('all': each); run nothing"
    )
    group.add_argument("--budget", type=limit, metavar="12gpu-h", help="start no trial that no longer fits")
    group.add_argument(
        "--tflops",
        type=positive,
        metavar="X",
        help="assume this speed of a device instead of what --measure found",
    )
    group.add_argument(
        "--gpus", type=whole, metavar="N", help="plan for so many (default: as the last --measure found)"
    )
    group.add_argument("--cpus", type=count, metavar="N", help="the same of cores")
    group.add_argument("--price-per-hour", type=positive, metavar="X", help="of one GPU, or core where there is none")
    group.add_argument("--watts", type=positive, metavar="W", help="that one GPU, or core, takes at work")


def _environment(parser: argparse.ArgumentParser, read: Callable[[], Value]) -> Value:
    """Reads a setting from the environment; an unusable value ends the command as that of a flag would."""
    try:
        return read()
    except Refusal as error:
        parser.error(str(error))
