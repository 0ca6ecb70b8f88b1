"""Lists the networks, and says whether their pre-trained weights are on this machine.

python -m trainable
python -m trainable --weights-dir DIR
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

from datasets.engine.corpus import folder
from datasets.engine.refusal import Refusal
from datasets.engine.words.columns import aligned
from datasets.engine.words.flags import Flags
from trainable.network import names
from trainable.network.card import Card
from trainable.weights import weights

WEIGHTS = Path(__file__).resolve().parents[1] / "results" / "weights"  # the folder in which studies look without a flag
HEAD = ("backbone", "input", "kHz", "size", "here", "licence")
FURTHER = """
backbone  as --set backbone=NAME takes it
input     the form of a clip that the network takes
kHz       the rate it was pre-trained at (--set pretrain_hz=32000); any: it has
          none, and pretrain_hz chooses how the log-mel is made
size      parameters, in millions, as published
here      whether the weights are on this machine; -: there are none to get

Weights are looked for in the cache of the Hugging Face hub and in
{folder}
(--weights-dir). A study prints the commands that get what is missing."""


def listing(weights_dir: Path) -> str:
    """A table with a row for each network and file of weights, by family, and examples of the other names."""
    rows: list[tuple[str, ...]] = [HEAD]
    for family in names.families():
        rows += _rows(family, weights_dir)
    lines = [line for family in names.families() if (line := _more(family))]
    return "\n".join([aligned(rows), *lines, FURTHER.format(folder=weights_dir)])


def _rows(family: ModuleType, weights_dir: Path) -> Iterator[tuple[str, ...]]:
    for name in names.names(family):
        files: dict[str, list[Card]] = {}
        for card in names.cards(family, name):
            files.setdefault(card.passport.file, []).append(card)
        for cards in files.values():
            yield _row(cards, weights_dir)


def _row(cards: Sequence[Card], weights_dir: Path) -> tuple[str, ...]:
    """The row of the cards that share a file."""
    first = cards[0]
    rate = "any" if len(cards) > 1 else f"{first.pretrain_hz / 1000:g}"
    size = "" if first.num_parameters is None else f"{first.num_parameters / 1e6:.1f}"
    at_hand = "yes" if weights.at_hand(first.passport, weights_dir) else "no" if first.passport.command else "-"
    return first.backbone, first.inputs[0], f"{rate:>3}", f"{size:>5}", at_hand, first.passport.licence


def _more(family: ModuleType) -> str:
    """A line with the number of networks that have no row, and examples of their names; empty if there are none."""
    if not (others := [name for name in names.more_names(family) if name not in names.names(family)]):
        return ""
    stem = family.__name__.rpartition(".")[2]
    return f"\nand {len(others):,} others of {stem}, such as {', '.join(_examples(others))}"


def _examples(network_names: Sequence[str]) -> Sequence[str]:
    """The two shortest names: they are best known."""
    return sorted(network_names, key=len)[:2]


def add_weights_dir(parser: argparse.ArgumentParser) -> None:
    """Adds the flag that names the folder of published checkpoints."""
    parser.add_argument(
        "--weights-dir",
        metavar="DIR",
        default=os.environ.get("SOUNDINGS_WEIGHTS_DIR") or WEIGHTS,
        help="published checkpoints (%(default)s)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the networks.

    Returns:
        The exit code: 0, or 2 if the folder of weights cannot be a folder.
    """
    parser = Flags("python -m trainable", __doc__)
    add_weights_dir(parser)
    args = parser.parse_args(argv)
    try:
        print(listing(folder(args.weights_dir, "--weights-dir ")))
    except Refusal as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
