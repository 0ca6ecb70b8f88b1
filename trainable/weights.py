"""Pre-trained weights: where their files must lie, and whether they are the right ones. Nothing is downloaded.

Importing this loads no torch, so that a plan can ask for its files; `pretrained` gets them into a network.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from trainable.config import TrialConfig

HUB_FILE = "model.safetensors"  # in every repository of timm's


class MissingWeights(FileNotFoundError):
    """A checkpoint is not where it must lie."""


class WrongWeights(ValueError):
    """A checkpoint is damaged, ambiguous, or of something else."""


def check(configs: Iterable[TrialConfig], weights_dir: Path, runs_dir: Path) -> dict[str, Path | None]:
    """The checkpoint of every trial, by the trial's key, or one error that tells all that is missing or wrong.

    Raises:
        MissingWeights: if a file is missing.
        WrongWeights: if none is missing, and one is wrong.
    """
    found: dict[str, Path | None] = {}
    problems: dict[str, type[MissingWeights | WrongWeights]] = {}
    for config in configs:
        try:
            found[config.key] = locate(config, weights_dir, runs_dir)
        except (MissingWeights, WrongWeights) as error:
            problems[str(error)] = type(error)
    if problems:
        raise (MissingWeights if MissingWeights in problems.values() else WrongWeights)("\n".join(problems))
    return found


def starts(configs: Iterable[TrialConfig], checkpoints: Mapping[str, Path | None]) -> list[TrialConfig]:
    """One trial for each different network, checkpoint and shape of clips that trials start from.

    Args:
        checkpoints: the file of each trial, by key.
    """
    found = {(checkpoints[t.key], t.backbone, t.pretrain_hz, t.width, t.input_norm, t.num_samples): t for t in configs}
    return list(found.values())


def locate(config: TrialConfig, weights_dir: Path, runs_dir: Path) -> Path | None:
    """The checkpoint that a trial starts from; None if it starts from random weights.

    Args:
        weights_dir: where published checkpoints lie under their published names, and runs' as KEY.pt.
        runs_dir: where trials leave KEY-INPUTS/best.pt.

    Raises:
        MissingWeights: if the file is not there; says where to get it.
        WrongWeights: if a published file has another size or digest than its passport, or if a run has left several.
    """
    kind, _, key = config.weights.partition(":")
    if kind == "none":
        return None
    return _locate_run(key, weights_dir, runs_dir) if kind == "run" else _locate_published(config, weights_dir)


def _locate_run(key: str, weights_dir: Path, runs_dir: Path) -> Path:
    if (path := weights_dir / f"{key}.pt").is_file():
        return path
    found = sorted(runs_dir.glob(f"{key}-*/best.pt"))
    if not found:
        raise MissingWeights(
            f"weights=run:{key}: there is neither {path} nor {runs_dir / key}-*/best.pt; run that trial first, or put "
            f"its best.pt at {path}"
        )
    if len(found) > 1:
        listed = ", ".join(map(str, found))
        raise WrongWeights(f"weights=run:{key}: the trial ran on several inputs; copy one of {listed} to {path}")
    return found[0]


def _locate_published(config: TrialConfig, weights_dir: Path) -> Path:
    passport = config.card.passport
    path = weights_dir / passport.file
    if not path.is_file() and passport.hub_id and (cached := _in_hub_cache(passport.hub_id)):
        path = cached
    size = "size not published" if passport.num_bytes is None else f"{passport.num_bytes:,} bytes"
    digest = "sha256 not published" if passport.sha256 is None else f"sha256 {passport.sha256}"
    if not path.is_file():
        raise MissingWeights(_advice(config, path, f"({passport.pretrained_on}; {size}; {digest}; {passport.licence})"))
    stat = path.stat()
    advice = f"get it again from {passport.source}"
    if passport.num_bytes not in (None, stat.st_size):
        raise WrongWeights(f"{path}: has {stat.st_size:,} bytes instead of {passport.num_bytes:,}; {advice}")
    expected = passport.sha256 or _named_by_digest(path)
    if expected and (actual := sha256(path)) != expected:
        raise WrongWeights(f"{path}: has sha256 {actual} instead of {expected}; {advice}")
    return path


def _advice(config: TrialConfig, path: Path, facts: str) -> str:
    """Says what is missing, where to get it, and where to put it."""
    passport = config.card.passport
    if not passport.hub_id:
        return (
            f"{config.backbone} pre-trained at {config.pretrain_hz} Hz: {path} is missing; get {passport.file} from "
            f"{passport.source} {facts} and put it into {path.parent}, or set weights=none"
        )
    return (
        f"{config.backbone}: {path} is missing, and the cache of the Hugging Face hub has not got it either; where "
        f"there is a network, run `hf download {passport.hub_id} {HUB_FILE}`, or get that file from {passport.source} "
        f"{facts} and save it as {path}, or set weights=none"
    )


def _in_hub_cache(hub_id: str) -> Path | None:
    """The weights of a repository in the Hugging Face hub's cache on this disk, where timm keeps them."""
    import huggingface_hub  # here: half a second that a plan without such weights need not wait

    found = huggingface_hub.try_to_load_from_cache(hub_id, HUB_FILE)
    return Path(found) if isinstance(found, str) else None


def _named_by_digest(path: Path) -> str | None:
    """The sha256 in the name of the file that a link of the hub's cache leads to; None for other files."""
    name = path.resolve().name
    return name if path.is_symlink() and re.fullmatch("[0-9a-f]{64}", name) else None


def sha256(path: Path) -> str:
    """SHA-256 of a file in hex; a file that has not changed is read once a process."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, num_bytes: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
