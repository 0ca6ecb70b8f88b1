"""Lists the studies and their questions, or runs several of them, one after the other.

python -m sweeps
python -m sweeps STUDY ... [FLAG ...]

Several studies share one Ray, and the flags; a study starts only when the one before it is complete.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from datasets.engine.words.columns import aligned
from datasets.engine.words.flags import Flags
from datasets.engine.words.suggest import did_you_mean
from sweeps.engine.plan import Sweep
from sweeps.engine.search.search import Search

FURTHER = """
a + b       evaluations of a search, and the trials that confirm its best

python -m sweeps.NAME --help        how to start a study
python -m sweeps.NAME --dry-run     its plan, on this machine
python -m sweeps.NAME --small       in miniature, with nothing to prepare
python -m sweeps NAME NAME          several, one after the other
python -m analysis.NAME             its table, once trials have finished"""


STUDIES = tuple(path.stem for path in sorted(Path(__file__).parent.glob("[!_]*.py")))


def listing() -> str:
    """One line per study: its name, its number of trials, and its question."""
    rows = [("study", "trials", "question")]
    for name in STUDIES:
        study = importlib.import_module(f"sweeps.{name}")
        rows.append((name, f"{_trials(study.SWEEP):>6}", (study.__doc__ or "").partition("\n")[0]))
    return f"{aligned(rows)}\n{FURTHER}"


def _trials(study: Sweep | Search) -> str:
    if isinstance(study, Search):
        return f"{study.num_trials} + {len(study.confirm_seeds)}"
    return str(len(study.trials))


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the studies, or runs those that are named; the flags after their names are those of a study."""
    words = sys.argv[1:] if argv is None else list(argv)
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    parser = Flags("python -m sweeps", __doc__, usage="%(prog)s [STUDY ... [FLAG ...]]")
    if not names:
        parser.parse_args(words)
        print(listing())
        return
    if unknown := [name for name in names if name not in STUDIES]:
        near = did_you_mean(STUDIES, unknown[0])
        parser.error(f"there is no study {unknown[0]}; there are {', '.join(STUDIES)}{near}")
    from sweeps.engine.launch import main as run

    first, *others = (importlib.import_module(f"sweeps.{name}").SWEEP for name in names)
    run(first, words[len(names) :], *others)


if __name__ == "__main__":
    main()
