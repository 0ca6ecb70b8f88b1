"""What a browser shows first of a sweep in MLflow: its trials with their scores, best first.

MLflow 3.17 opens an experiment on the page of GenAI traces unless the address says otherwise, whatever kind of
experiment it is tagged as; sorted by date it folds the trials into their sweep's row, and it shows no score until
columns are chosen. So the address names the runs and a view, and the experiment keeps that view as a tag.

    python -m sweeps.engine.store.pages STUDY [--storage DIR] [--store URI]
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from datasets.engine.words.flags import Flags
from sweeps.engine.command.commandline import add_store_flags, options_of
from sweeps.engine.plan import Sweep
from sweeps.engine.store.runs import StoreError, experiment_id
from trainable.config import TrialConfig

VIEW = "trials"  # the name of the view, which is part of the address
LOCAL = "http://127.0.0.1:5000"  # where `mlflow ui` answers
NAMES = "attributes.`Run Name`"


def experiment_tags(sweep: Sweep) -> dict[str, str]:
    """The tags by which MLflow's pages know what of a sweep to show."""
    columns = [
        *(f"metrics.`{name}`" for name in dict.fromkeys((sweep.by, *_columns(sweep)))),
        *(f"params.`{name}`" for name in sweep.axes or ()),
        "attributes.`Dataset`",
    ]
    view = {
        "searchFilter": "tags.role = 'trial'",
        "orderByKey": f"metrics.`{sweep.by}`",
        "orderByAsc": not _score(sweep).higher_is_better if sweep.trials else False,
        "selectedColumns": columns,
        "columnOrder": [NAMES, *columns],  # or the corpus stands first, and takes the width of three scores
        "columnWidths": {NAMES: 260},  # pixels, for `Group: cnn14-8k on 2 kHz`
    }
    return {f"mlflow.sharedViewState.{VIEW}": json.dumps(view), "mlflow.experiment.primaryMetric.name": sweep.by}


def _score(sweep: Sweep) -> Any:
    return sweep.trials[0].score(sweep.by.removeprefix("test_").removeprefix("best_val_"))


def _columns(sweep: Sweep) -> list[str]:
    """Shares alone: a loss is told by its curve."""
    if not sweep.trials:
        return []
    trial = sweep.trials[0]
    shares = [f"test_{score.name}" for score in trial.scores if score.is_share]
    return [*shares, f"best_val_{trial.main_score.name}", "best_epoch"]


def sweep_of(name: str, trial: TrialConfig) -> Sweep:
    """What is known of a sweep from one of its trials alone, until the sweep itself is started again."""
    return Sweep(name, (trial,))


def address(store_uri: str, name: str) -> str:
    """The address of a sweep's trials; empty when the store has none of them.

    Raises:
        StoreError: if the store cannot be read.
    """
    server = store_uri.rstrip("/") if store_uri.startswith(("http://", "https://")) else LOCAL
    number = experiment_id(store_uri, name)
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{server}/#/experiments/{number}/runs?{query}" if number else ""


def ways(store_uri: str, name: str) -> list[str]:
    """What a user does to see a sweep's trials: a command, unless a server runs already, and an address."""
    try:
        page = address(store_uri, name) or LOCAL
    except StoreError:  # which those who read or write runs have said
        page = LOCAL
    if store_uri.startswith(("http://", "https://")):
        return [page]
    return [f"mlflow ui --backend-store-uri {shlex.quote(store_uri)}", f"then open {page}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints how to see a sweep's trials."""
    parser = Flags("python -m sweeps.engine.store.pages", __doc__)
    parser.add_argument("study", help="its name, such as deepship_rates")
    add_store_flags(parser)
    args = parser.parse_args(argv)
    print("\n".join(ways(options_of(args).store_uri, args.study)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
