"""Writes a small invented corpus in a real corpus's layout, to try everything without the recordings.

    python -m datasets.synthetic deepship DIR --recordings-per-class 12 --seconds 10 30
    python -m datasets.synthetic esc50 DIR

The classes are learnable and overlap; no number measured on them says anything about real recordings.
"""

from __future__ import annotations

from collections.abc import Sequence

from datasets.engine.corpus import folder
from datasets.engine.refusal import Refusal
from datasets.engine.words.flags import Flags
from datasets.synthetic.writers import names, writer


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the corpus that the command line names."""
    parser = Flags("python -m datasets.synthetic", __doc__)
    layouts = parser.add_subparsers(dest="layout", required=True)
    for name in names():
        layout = layouts.add_parser(name, help=(writer(name).__doc__ or "").splitlines()[0])
        writer(name).add_flags(layout)
        layout.add_argument("root", metavar="DIR")
        layout.add_argument("--seed", type=int, default=0, metavar="S")
    options = vars(parser.parse_args(argv))
    write = writer(options.pop("layout")).write
    try:
        print(write(**options | {"root": folder(options["root"], "DIR ")}))
    except (OSError, ValueError, Refusal) as error:
        parser.exit(2, f"datasets.synthetic: {error}\n")


if __name__ == "__main__":
    main()
