"""Downloads published checkpoints to the folder where studies look for them.

python -m trainable.fetch efficientat/mn04_as cnn14
python -m trainable.fetch cnn14 --pretrain-hz 16000 --weights-dir DIR
python -m trainable.fetch timm/resnet50.a1_in1k --print

An interrupted download resumes. A file gets its final name once its size and
SHA-256 match the published ones, as far as those are known. Trials never
download. Without a network, the commands for another machine are printed.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from datasets.engine.corpus import folder
from datasets.engine.refusal import Refusal
from datasets.engine.words.flags import Flags
from trainable.__main__ import add_weights_dir
from trainable.network import names
from trainable.network.card import Card, module
from trainable.weights import weights
from trainable.weights.weights import MissingWeights, WrongWeights


def cards(backbone: str, pretrain_hz: int | None = None) -> list[Card]:
    """One card for each file of weights of a network.

    Args:
        pretrain_hz: the rate that it was pre-trained at [Hz]; None for all.

    Raises:
        ValueError: if there is no such network, none at that rate, or nothing to get.
    """
    try:
        family = module(backbone)
        choices = names.cards(family, backbone) if pretrain_hz is None else [family.card(backbone, pretrain_hz)]
        if not choices:
            family.card(backbone, names.RATES_HZ[0])  # which tells why there is none
    except ValueError as error:
        raise ValueError(f"{error}{names.near(backbone)}") from None
    by_file = {card.passport.file: card for card in choices}
    if not any(card.passport.command for card in choices):
        raise ValueError(f"backbone={backbone!r}: nothing was published for it; it takes weights=none")
    return list(by_file.values())


def fetch(card: Card, weights_dir: Path) -> Path:
    """The path of a checkpoint, downloaded if it is missing, and verified.

    Raises:
        MissingWeights: if it could not be downloaded; with the commands for another machine.
        WrongWeights: if the file that is there, or was downloaded, is not the published one.
    """
    passport = card.passport
    path = weights_dir / passport.file
    if existing := weights.at_hand(passport, weights_dir):
        verify(card, existing)
        return existing
    part = path.with_name(f"{path.name}.part")
    weights_dir.mkdir(parents=True, exist_ok=True)
    if not _is_whole(card, part):
        command = shlex.split(passport.command.replace("{path}", shlex.quote(str(part))))
        if reason := _run(command):
            told = weights.missing(card, path)
            raise MissingWeights(f"{reason}\n{told.facts}", told.commands)
    if part.is_file():
        verify(card, part)
        part.replace(path)
    if existing := weights.at_hand(passport, weights_dir):
        return existing
    raise weights.missing(card, path)


def verify(card: Card, path: Path) -> None:
    """Refuses a file that differs from the published one, as far as size and digest are known.

    Raises:
        WrongWeights: if its size or its SHA-256 differs.
    """
    passport = card.passport
    told = (passport.num_bytes, passport.sha256)
    found = (path.stat().st_size if told[0] else None, weights.sha256(path) if told[1] else None)
    if found != told:
        raise WrongWeights(
            f"{path}: has {path.stat().st_size:,} bytes and sha256 {weights.sha256(path)} instead of "
            f"{'the size' if told[0] is None else f'{told[0]:,} bytes'} and {told[1] or 'the digest'} that "
            f"{passport.source} has; remove it, and get it again"
        )


def _run(command: Sequence[str]) -> str:
    """Runs a download command, which shows its own progress; returns why it failed, or an empty text."""
    try:
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - of a card, never of a file
    except OSError as error:
        return f"{command[0]}: cannot be run ({error.strerror})"
    return f"{command[0]} ended with code {code}" if code else ""


def _is_whole(card: Card, part: Path) -> bool:
    """Whether an earlier download is complete but was not renamed; curl fails when asked to resume such a file."""
    if not part.is_file() or card.passport.sha256 is None:
        return False
    return weights.sha256(part) == card.passport.sha256


def _told(card: Card, path: Path) -> str:
    """A line that describes a file."""
    digest = weights.sha256(path)
    note = "as published" if card.passport.sha256 == digest else "no digest is published"
    return f"{card.backbone}: {path}, {path.stat().st_size:,} bytes, sha256 {digest} ({note})"


def _each(args: Sequence[Card], weights_dir: Path, only_print: bool) -> Iterator[tuple[bool, str]]:
    """Yields for each checkpoint whether it could be had, and a message."""
    for card in args:
        try:
            if only_print:
                found = weights.at_hand(card.passport, weights_dir)
                path = weights_dir / card.passport.file
                yield True, _told(card, found) if found else str(weights.missing(card, path))
            else:
                yield True, _told(card, fetch(card, weights_dir))
        except (Refusal, OSError) as error:  # a folder that cannot be written, too
            yield False, str(error)


def main(argv: Sequence[str] | None = None) -> int:
    """Downloads the named networks; 1 if one could not be had, 2 if a name or the folder is wrong."""
    parser = Flags("python -m trainable.fetch", __doc__)
    parser.add_argument("backbones", metavar="NAME", nargs="+", help="as --set backbone=NAME takes it")
    parser.add_argument("--pretrain-hz", metavar="HZ", type=int, help="of several files, the one of this rate")
    parser.add_argument("--print", action="store_true", dest="only_print", help="print the commands, and run none")
    add_weights_dir(parser)
    args = parser.parse_args(argv)
    try:
        weights_dir = folder(args.weights_dir, "--weights-dir ")
        wanted = [card for name in args.backbones for card in cards(name, args.pretrain_hz)]
    except (Refusal, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    all_there = True
    for is_there, said in _each(wanted, weights_dir, args.only_print):
        print(said, file=sys.stdout if is_there else sys.stderr, flush=True)
        all_there &= is_there
    return 0 if all_there else 1


if __name__ == "__main__":
    sys.exit(main())
