"""The first page of a sweep in MLflow: its trials with their scores, best first.

MLflow 3.17 opens an experiment on the page of GenAI traces unless the address says otherwise, even if the experiment is
tagged as another kind. Sorted by date, it folds the trials into their sweep's row, and it shows no score until columns
are chosen. The address therefore names the runs and a view, and the experiment keeps that view as a tag.

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
    """The tags that tell MLflow's pages what to show of a sweep."""
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
        "columnOrder": [NAMES, *columns],  # otherwise the corpus comes first, and takes the width of three scores
        "columnWidths": {NAMES: 260},  # pixels, for `Group: cnn14-8k on 2 kHz`
    }
    return {f"mlflow.sharedViewState.{VIEW}": json.dumps(view), "mlflow.experiment.primaryMetric.name": sweep.by}


def _score(sweep: Sweep) -> Any:
    return sweep.trials[0].score(sweep.by.removeprefix("test_").removeprefix("best_val_"))


def _columns(sweep: Sweep) -> list[str]:
    """The score columns of a sweep: only shares, because losses are shown as curves."""
    if not sweep.trials:
        return []
    trial = sweep.trials[0]
    shares = [f"test_{score.name}" for score in trial.scores if score.is_share]
    return [*shares, f"best_val_{trial.main_score.name}", "best_epoch"]


def sweep_of(name: str, trial: TrialConfig) -> Sweep:
    """A sweep with one of its trials, in place of the full one until it is started again."""
    return Sweep(name, (trial,))


def address(store_uri: str, name: str) -> str:
    """The address of a sweep's trials; empty if the store has none of them.

    Raises:
        StoreError: if the store cannot be read.
    """
    server = store_uri.rstrip("/") if store_uri.startswith(("http://", "https://")) else LOCAL
    number = experiment_id(store_uri, name)
    query = f"workflowType=machine_learning&viewStateShareKey={VIEW}"
    return f"{server}/#/experiments/{number}/runs?{query}" if number else ""


def run_address(store_uri: str, experiment: str, run_id: str) -> str:
    """The address of one run, on the store's own server or on that of `mlflow ui`.

    Args:
        store_uri: the store.
        experiment: the number of its experiment, as `experiment_id` gives it.
        run_id: the run.
    """
    server = store_uri.rstrip("/") if store_uri.startswith(("http://", "https://")) else LOCAL
    return f"{server}/#/experiments/{experiment}/runs/{run_id}"


def ways(store_uri: str, name: str) -> list[str]:
    """The steps to see a sweep's trials: a command, unless a server is already running, and an address."""
    try:
        page = address(store_uri, name) or LOCAL
    except StoreError:  # already reported by those who read or write runs
        page = LOCAL
    if store_uri.startswith(("http://", "https://")):
        return [page]
    return [f"mlflow ui --backend-store-uri {shlex.quote(store_uri)}", f"then open {page}"]


def main(argv: Sequence[str] | None = None) -> int:
    """Prints how to see a sweep's trials."""
    parser = Flags("python -m sweeps.engine.store.pages", __doc__)
    parser.add_argument("study", help="the name of a study, such as deepship_rates")
    add_store_flags(parser)
    args = parser.parse_args(argv)
    print("\n".join(ways(options_of(args).store_uri, args.study)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
