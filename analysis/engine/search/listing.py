"""The tables of a search: the best evaluation and its confirmation, the space, the budget, and all evaluations."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from analysis.engine.search import sentences as words
from analysis.engine.search.outcome import SearchTable, budget, edge
from analysis.engine.tables.grids import Grid, Text, bullets
from analysis.engine.wording import mean_std, percent, within


def confirmation_grid(table: SearchTable) -> Grid:
    """The best evaluation in the search and in its confirmation; no rows if there is no best."""
    name, test, share = words.metric_name(table).capitalize(), table.score.title, table.score.is_share
    head = ("", name, "95 % seeds", f"Test {test}", "95 % here", "95 % to come", f"Recording {test}")
    if table.best is None:
        return Grid(head, [])
    scores, confirmed, blank = table.confirmation.scores, table.confirmed, [Text("–")] * 4
    rows = [[Text(f"searched, seed {table.search.base.seed}"), Text(words.value(table, table.best)), Text("–"), *blank]]
    if not scores or not confirmed:
        return Grid(head, [*rows, [Text("confirmed"), Text(table.confirmation.gap, "gap"), Text("–"), *blank]])
    confirmed_row = [
        Text(f"confirmed, n = {confirmed.n}"),
        Text(words.spread(table, confirmed.mean, confirmed.std), "best"),
        Text(words.ends(table, confirmed.interval)),
        Text(mean_std(scores.clip.mean, scores.clip.std, share), "best"),
        Text(within(scores.clip.interval, share)),
        Text(within(scores.to_come, share)),
        Text(mean_std(scores.recording.mean, scores.recording.std, share)),
    ]
    drop, interval = table.drop
    luck = [Text("luck of the search"), Text(words.difference(table, drop)), Text(words.ends(table, interval)), *blank]
    return Grid(head, [*rows, confirmed_row, luck])


def space_grid(table: SearchTable) -> Grid:
    """The searched values of each field, and the position of the best."""
    rows, config = [], table.best.config if table.best else None
    for name, dimension in table.search.space.items():
        side = edge(table.search, name, config) if config else ""
        number = config and not isinstance(config.get(name), str)
        where = Text(f"at the {words.ENDS[side]} end: widen it", "gap") if side else Text("inside" if number else "–")
        best = Text(words.short(config.get(name)), "best") if config else Text("–")
        rows.append([Text(name), Text(words.searched(dimension)), best, where])
    return Grid(("Field", "Searched", "Best", "Position"), rows)


def budget_grid(table: SearchTable) -> Grid:
    """The cost of the search."""
    spent, search = budget(table), table.search
    counts = f"{table.count('COMPLETE')} completed, {table.count('PRUNED')} gave up, {table.count('FAIL')} diverged"
    unknown = f"; the store has no run of {spent.unknown} evaluations" if spent.unknown else ""
    without_pruning = spent.saved + spent.epochs
    share = percent(spent.saved / without_pruning) if without_pruning else "–"
    saved = (
        f"at most {spent.saved:,} by giving up: {share} % of the {without_pruning:,} that completing every evaluation "
        "would take"
    )
    lines = {
        "evaluations": f"{len(table.evaluations)} of {search.num_trials}: {counts}",
        "epochs trained": f"{spent.epochs:,}, and {table.confirmed_epochs:,} to confirm the best{unknown}",
        "epochs saved": saved if spent.saved else "none: no evaluation gave up",
        "training time": f"about {words.duration(spent.seconds)} of device time, estimated from each last epoch",
        "method": f"sampler {search.sampler} with seed {search.seed}, pruner {search.pruner}, {search.at_once} at once",
        "study": table.study,
    }
    return Grid(("Budget", ""), [[Text(name), Text(line)] for name, line in lines.items()])


def evaluations_grid(table: SearchTable) -> Grid:
    """All evaluations, the best first."""
    rows = []
    for e in table.ranked:
        reached = Text(words.value(table, e), "best" if e == table.best else "plain")
        settings = [Text(words.short(e.config.get(name))) for name in table.search.space]
        epochs = Text(f"{e.scores.get('epochs_run', len(e.curve)):g}")
        rows.append([Text(str(e.number)), *settings, reached, Text(words.came_to(e)), epochs, Text(e.config.key)])
    metric = words.metric_name(table).capitalize()
    return Grid(("Evaluation", *table.search.space, metric, "Outcome", "Epochs", "Key"), rows)


def markdown(table: SearchTable, left_out: Mapping[str, str]) -> str:
    """The findings, the tables, and their captions."""
    grids = (confirmation_grid(table), space_grid(table), budget_grid(table), evaluations_grid(table))
    parts = [f"# {table.name}", bullets(words.findings(table)), *(g.markdown() for g in grids if g.rows)]
    parts.append(bullets(words.captions(table)))
    if left_out:
        parts.append("Not drawn:\n\n" + bullets(f"{name}: {reason}" for name, reason in left_out.items()))
    if gaps := words.gaps(table):
        parts.append("Incomplete:\n\n" + bullets(gaps))
    return "\n\n".join(parts) + "\n"


def csv_frame(table: SearchTable) -> pd.DataFrame:
    """One row per evaluation, in order, with every number at full precision and shares as fractions."""
    rows = []
    for e in table.evaluations:
        row: dict[str, object] = {"sweep": table.name, "study": table.study, "number": e.number, "key": e.config.key}
        row |= {name: e.config.get(name) for name in table.search.space} | {"state": e.state}
        metrics = [name for name in e.config.metrics if not name.startswith("test_")]
        names = (*metrics, "epochs_run", "epoch_s")
        row |= {name: e.scores.get(name, math.nan) for name in names}
        rows.append({**row, "last_value": e.curve[-1] if e.curve else math.nan, "is_best": e == table.best})
    return pd.DataFrame(rows)
