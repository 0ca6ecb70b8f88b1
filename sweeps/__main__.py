"""Lists the studies and their questions.

python -m sweeps
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from datasets.engine.words.columns import aligned
from datasets.engine.words.flags import Flags
from sweeps.engine.plan import Sweep
from sweeps.engine.search.search import Search

FURTHER = """
a + b       evaluations of a search, and the trials that confirm its best

python -m sweeps.NAME --help        how to start a study
python -m sweeps.NAME --dry-run     its plan, on this machine
python -m sweeps.NAME --small       in miniature, with nothing to prepare
python -m analysis.NAME             its table, once trials have finished"""


def listing() -> str:
    """One line per study: its name, its number of trials, and its question."""
    rows = [("study", "trials", "question")]
    for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
        study = importlib.import_module(f"sweeps.{path.stem}")
        rows.append((path.stem, f"{_trials(study.SWEEP):>6}", (study.__doc__ or "").partition("\n")[0]))
    return f"{aligned(rows)}\n{FURTHER}"


def _trials(study: Sweep | Search) -> str:
    if isinstance(study, Search):
        return f"{study.num_trials} + {len(study.confirm_seeds)}"
    return str(len(study.trials))


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the studies."""
    Flags("python -m sweeps", __doc__).parse_args(argv)
    print(listing())


if __name__ == "__main__":
    main()
