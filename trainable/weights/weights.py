"""Finds the files of pre-trained weights, and checks that they are the right ones. Nothing is downloaded.

Importing this does not load torch, so that a plan can find its files; `pretrained` loads them into a network.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from datasets.engine.refusal import Refusal
from trainable.config import CLIPS, INPUT, NETWORK, TrialConfig
from trainable.network.card import HUB_FILE, Card, Passport
from trainable.result import record
from trainable.result.record import DamagedRecord


class MissingWeights(Refusal, FileNotFoundError):
    """Checkpoints are missing.

    Args:
        facts: the missing checkpoints, and the known facts about them.
        commands: shell commands that get them.
        cards: of the networks whose published files are missing, which `trainable.fetch` gets as well.
        weights_dir: the folder where those files are missing.
    """

    def __init__(
        self, facts: str, commands: Iterable[str] = (), cards: Iterable[Card] = (), weights_dir: Path | None = None
    ) -> None:
        self.facts, self.commands, self.cards = facts, tuple(commands), tuple(cards)
        same = f" (or `{_fetch(self.cards, weights_dir)}`)" if self.cards and weights_dir else ""
        remedy = f"to get what is missing, run this where there is a network{same}, or set weights=none:"
        super().__init__("\n  ".join([f"{facts}\n{remedy}", *self.commands]) if self.commands else facts)


class WrongWeights(Refusal, ValueError):
    """A checkpoint is damaged or ambiguous, or belongs to something else."""


def check(configs: Iterable[TrialConfig], weights_dir: Path, runs_dir: Path) -> dict[str, Path | None]:
    """The checkpoint of every trial, by the trial's key; one error names everything that is missing or wrong.

    Raises:
        MissingWeights: if a file is missing.
        WrongWeights: if none is missing, but one is wrong.
    """
    checkpoints: dict[str, Path | None] = {}
    facts: dict[str, None] = {}  # a dict keeps each one once, in order; so do the commands
    commands: dict[str, None] = {}
    cards: list[Card] = []
    missing = False
    for config in configs:
        try:
            checkpoints[config.key] = locate(config, weights_dir, runs_dir)
        except MissingWeights as error:
            facts[error.facts] = None
            commands |= dict.fromkeys(error.commands)
            cards += error.cards
            missing = True
        except WrongWeights as error:
            facts[str(error)] = None
    if missing:
        raise MissingWeights("\n".join(facts), commands, cards, weights_dir)
    if facts:
        raise WrongWeights("\n".join(facts))
    return checkpoints


def starts(configs: Iterable[TrialConfig], checkpoints: Mapping[str, Path | None]) -> list[TrialConfig]:
    """One trial for each different combination of network, checkpoint and shape of clips.

    Args:
        checkpoints: the checkpoint of each trial, by key.
    """
    return list({(checkpoints[t.key], t.only(CLIPS, INPUT, NETWORK)): t for t in configs}.values())


def locate(config: TrialConfig, weights_dir: Path, runs_dir: Path) -> Path | None:
    """The checkpoint from which a trial starts; None if it starts from random weights.

    Args:
        weights_dir: the folder with published checkpoints under their published names, and those of runs as KEY.pt.
        runs_dir: the folder in which trials leave KEY-INPUTS/best.pt.

    Raises:
        MissingWeights: if the file does not exist; says how to get it.
        WrongWeights: if the size or hash of a file differs from its passport or its run's record, if its hash differs
            from that at its first use, or if a run has left several files.
    """
    kind, _, key = config.weights.partition(":")
    if kind == "none":
        return None
    path, advice = _run_file(key, weights_dir, runs_dir) if kind == "run" else _published_file(config, weights_dir)
    actual = ""
    for expected, says in _digests(config, path, weights_dir, runs_dir):
        actual = actual or sha256(path)
        if actual != expected:
            raise WrongWeights(f"{path}: has sha256 {actual} instead of {expected}{says}; {advice}")
    return path


def remember(
    configs: Iterable[TrialConfig], checkpoints: Mapping[str, Path | None], weights_dir: Path, runs_dir: Path
) -> None:
    """Stores the hash of every used checkpoint without a published or recorded one, in the format of `sha256sum`.

    It is stored beside the published files or, if that folder cannot be written, in the storage.

    Args:
        checkpoints: the result of `check`; the files must have been loaded into their networks successfully.

    Raises:
        OSError: if neither folder can be written.
    """
    for config in configs:
        path = checkpoints[config.key]
        if path is None or next(_digests(config, path, weights_dir, runs_dir), None):
            continue
        beside, stored = _memories(config, weights_dir, runs_dir)
        try:
            _write_digest(path, beside)
        except OSError:  # a shared folder that is read-only
            _write_digest(path, stored)


def _run_file(key: str, weights_dir: Path, runs_dir: Path) -> tuple[Path, str]:
    """The checkpoint of a run, and the remedy if it is damaged."""
    if (path := weights_dir / f"{key}.pt").is_file():
        return path, "put back a copy"
    paths = sorted(runs_dir.glob(f"{key}-*/best.pt"))
    if not paths:
        raise MissingWeights(
            f"weights=run:{key}: there is neither {path} nor {runs_dir / key}-*/best.pt; run that trial first, or put "
            f"its best.pt at {path}"
        )
    if len(paths) > 1:
        path_list = ", ".join(map(str, paths))
        raise WrongWeights(f"weights=run:{key}: the trial ran on several inputs; copy one of {path_list} to {path}")
    remedy = f"put back a copy, or remove {paths[0].parent} and delete its run in MLflow: then the trial runs again"
    return paths[0], remedy


def _published_file(config: TrialConfig, weights_dir: Path) -> tuple[Path, str]:
    """The published file that the passport describes, and the remedy if it is damaged."""
    passport = config.card.passport
    if not (path := at_hand(passport, weights_dir)):
        told = missing(config.card, weights_dir / passport.file)
        raise MissingWeights(told.facts, told.commands, [config.card] * bool(told.commands), weights_dir)
    num_bytes, advice = path.stat().st_size, f"get it again from {passport.source}"
    if passport.num_bytes not in (None, num_bytes):
        raise WrongWeights(f"{path}: has {num_bytes:,} bytes instead of {passport.num_bytes:,}; {advice}")
    return path, advice


def at_hand(passport: Passport, weights_dir: Path) -> Path | None:
    """The file that a passport describes, in the folder or in the local cache of the hub; None if it is in neither."""
    if (path := weights_dir / passport.file).is_file():
        return path
    cached = _in_hub_cache(passport.hub_id) if passport.hub_id else None
    return cached if cached and cached.is_file() else None


def missing(card: Card, path: Path) -> MissingWeights:
    """The error with the missing file, its source, and the commands that get it."""
    passport = card.passport
    size = "size not published" if passport.num_bytes is None else f"{passport.num_bytes:,} bytes"
    digest = "sha256 not published" if passport.sha256 is None else f"sha256 {passport.sha256}"
    rate = f" pre-trained at {card.pretrain_hz} Hz" * (not passport.hub_id)
    cache = ", and it is not in the cache of the Hugging Face hub either" * bool(passport.hub_id)
    facts = (
        f"{card.backbone}{rate}: {path} is missing{cache}; it is from {passport.source} ({passport.pretrained_on}; "
        f"{size}; {digest}; {passport.licence})"
    )
    if not passport.command:
        return MissingWeights(f"{facts}; get it and put it there, or set weights=none")
    commands = [passport.command.replace("{path}", shlex.quote(str(path)))]
    if "{path}" in passport.command:  # a cache makes its own folders
        commands.insert(0, f"mkdir -p {shlex.quote(str(path.parent))}")
    if passport.sha256:
        commands.append(f"echo {shlex.quote(f'{passport.sha256}  {path}')} | sha256sum --check")
    return MissingWeights(facts, commands)


def _fetch(cards: Iterable[Card], weights_dir: Path) -> str:
    """The command of `trainable.fetch` that gets the files of these networks."""
    networks = " ".join(dict.fromkeys(card.backbone for card in cards))
    rates = {card.pretrain_hz for card in cards if not card.passport.hub_id}
    rate = f" --pretrain-hz {rates.pop()}" if len(rates) == 1 else ""
    return f"python -m trainable.fetch {networks}{rate} --weights-dir {shlex.quote(str(weights_dir))}"


def _digests(config: TrialConfig, path: Path, weights_dir: Path, runs_dir: Path) -> Iterator[tuple[str, str]]:
    """Yields the SHA-256 that a file must have, and its source: the publisher, the run's record or the first use."""
    if config.weights.startswith("run:"):
        try:
            committed = record.read(path.parent) if path.name == "best.pt" else None
        except DamagedRecord as error:
            raise WrongWeights(str(error)) from error
        published = committed.files.get("best.pt") if committed else None
        says = f" in {record.FILE}"
    else:
        published, says = config.card.passport.sha256 or _named_by_digest(path), ""
    if published:
        yield published, says
        return
    for memory in _memories(config, weights_dir, runs_dir):
        if memory.is_file():
            says = f", which it had at its first use; remove {memory} if it was replaced on purpose, or else"
            yield _read_digest(memory), says


def _memories(config: TrialConfig, weights_dir: Path, runs_dir: Path) -> tuple[Path, Path]:
    """The two files that may hold the hash of a checkpoint at its first use."""
    kind, _, key = config.weights.partition(":")
    name = f"{key}.pt" if kind == "run" else config.card.passport.file
    return weights_dir / f"{name}.sha256", runs_dir.parent / "weights" / f"{name}.sha256"


def _read_digest(memory: Path) -> str:
    match = re.search(r"\b[0-9a-f]{64}\b", memory.read_text(encoding="utf-8", errors="replace").lower())
    if match is None:
        raise WrongWeights(f"{memory}: holds no sha256; remove it, and the next start writes it again")
    return match[0]


def _write_digest(path: Path, memory: Path) -> None:
    memory.parent.mkdir(parents=True, exist_ok=True)
    part = memory.with_name(f".{memory.name}.{uuid.uuid4().hex[:8]}")
    name = path.name if path.parent == memory.parent else path
    part.write_text(f"{sha256(path)}  {name}\n", encoding="utf-8")
    try:
        part.replace(memory)
    except OSError:
        part.unlink()
        raise


def _in_hub_cache(hub_id: str) -> Path | None:
    """The weights of a repository in the local cache of the Hugging Face hub, where timm keeps them."""
    import huggingface_hub  # imported here because it takes half a second, which other plans should not wait for

    cached = huggingface_hub.try_to_load_from_cache(hub_id, HUB_FILE)
    return Path(cached) if isinstance(cached, str) else None


def _named_by_digest(path: Path) -> str | None:
    """The SHA-256 in the name of the file to which a link in the hub's cache points; None for other files."""
    name = path.resolve().name
    return name if path.is_symlink() and re.fullmatch("[0-9a-f]{64}", name) else None


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hex; a file that has not changed is read once per process."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, num_bytes: int, mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
