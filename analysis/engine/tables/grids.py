"""The common parts of all tables: marked fields, their Markdown, LaTeX and CSV, and the row of a cell."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.engine.inference.constant import MARK
from analysis.engine.stats import UNKNOWN, Interval, SeedSummary
from analysis.engine.tables.cells import Cell, Table
from analysis.engine.wording import between, folds_away, gaps, letter, mean_std, notes, signed, within
from trainable.learning.score import Score

BESIDE = ("Published", "Difference", "Verdict")
LATEX = {
    "%": r"\%",
    "_": r"\_",
    "&": r"\&",
    "#": r"\#",
    "±": r"$\pm$",
    "−": r"$-$",
    "–": "--",
    "≥": r"$\geq$",
    "<": "$<$",
    ">": "$>$",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "×": r"$\times$",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
}


@dataclass(frozen=True)
class Text:
    """The text of one field of a table, its kind (best, published, gap, or plain), and the address that it links to."""

    words: str
    kind: str = "plain"
    link: str = ""


@dataclass(frozen=True)
class Grid:
    """A table, ready to print."""

    head: tuple[str, ...]
    rows: Sequence[Sequence[Text]]

    def markdown(self) -> str:
        """The table in Markdown, with aligned columns."""
        marks = {"best": "**{}**", "published": "*{}*", "gap": "({})", "plain": "{}"}
        body = [[marks[text.kind].format(text.words) for text in row] for row in self.rows]
        widths = [max(len(row[i]) for row in [self.head, *body]) for i in range(len(self.head))]
        lines = [self.head, ["-" * width for width in widths], *body]
        padded = [[word.ljust(width) for word, width in zip(line, widths, strict=True)] for line in lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in padded)

    def latex(self) -> str:
        """The table in LaTeX, ruled by the package booktabs."""
        marks = {"best": r"\textbf{{{}}}", "published": r"\textit{{{}}}", "gap": r"\textit{{{}}}", "plain": "{}"}
        body = [" & ".join(marks[text.kind].format(tex(text.words)) for text in row) + r" \\" for row in self.rows]
        lines = [r"\toprule", " & ".join(map(tex, self.head)) + r" \\", r"\midrule", *body, r"\bottomrule"]
        begin, end = f"\\begin{{tabular}}{{{'l' * len(self.head)}}}", r"\end{tabular}"
        return "\n".join([r"\makebox[\textwidth][c]{%", begin, *lines, f"{end}}}\n"])  # centred, even if wider


def detail_head(table: Table) -> tuple[str, ...]:
    """The heading of `detail`."""
    first, *further = titles(table.score)
    beside = BESIDE if compares(table) else ()
    return ("n", first, "95 % here", "95 % to come", *further, *beside)


def compares(table: Table) -> bool:
    """Whether a difference from a published number can say anything about a cell of the table."""
    return has_published(table) and not folds_away(table)


def apart_grid(table: Table) -> Grid:
    """The differences from published numbers that must not be compared; no rows where some may be."""
    cells = [cell for cell in table.cells if cell.published and cell.complete] if folds_away(table) else []
    first, *_ = titles(table.score)
    rows = [[Text(table.title(cell)), ours(table, cell), *beside_published(table, cell)] for cell in cells]
    return Grid(("Cell", first, *BESIDE), rows)


def has_published(table: Table) -> bool:
    """Whether a published number stands beside any cell."""
    return any(cell.published for cell in table.cells)


def titles(score: Score) -> tuple[str, ...]:
    """The headings of the score of clips and of recordings, or of recordings alone if it is a score of these."""
    return (f"Clip {score.title}", f"Recording {score.title}") if score.unit == "clip" else (score.heading,)


def ours(table: Table, cell: Cell | None) -> Text:
    """The clip score of a cell, or its gap."""
    if cell is None:
        return Text("–", "gap")
    if cell.scores is None:
        return Text(cell.gap, "gap")
    words = mean_std(cell.scores.clip.mean, cell.scores.clip.std, table.score.is_share)
    words += MARK * bool(cell.scores.constant.num_seeds)
    return Text(words, "best" if table.is_best(cell) else "plain")


def published(cell: Cell | None) -> Text:
    """The published number, as printed."""
    beside = cell.published if cell else None
    return Text(mean_std(beside.mean, beside.printed_std) if beside else "–", "published")


def detail(table: Table, cell: Cell) -> list[Text]:
    """The row of a cell with its uncertainty, under `detail_head`."""
    num_further = len(titles(table.score)) - 1
    if cell.scores is None:
        unknown = [Text("–")] * (2 + num_further)
        beside = [published(cell), Text("–"), Text("–")] if compares(table) else []
        return [Text("–"), Text(cell.gap, "gap"), *unknown, *beside]
    scores, share = cell.scores, table.score.is_share
    return [
        Text(str(scores.clip.n)),
        ours(table, cell),
        Text(within(scores.clip.interval, share)),
        Text(within(scores.to_come, share)),
        *[Text(mean_std(scores.recording.mean, scores.recording.std, share))] * num_further,
        *(beside_published(table, cell) if compares(table) else []),
    ]


def beside_published(table: Table, cell: Cell) -> list[Text]:
    """The published number of a complete cell, the difference from it, and what follows."""
    difference, share, verdict = cell.difference, table.score.is_share, cell.verdict or "–"
    if cell.reasons and cell.verdict:
        verdict += f" ({', '.join(letter(table, reason) for reason in cell.reasons)})"
    apart = f"{signed(difference.value, share)} {between(difference.interval95, share)}" if difference else "–"
    return [published(cell), Text(apart), Text(verdict)]


def markdown(table: Table, blocks: Iterable[str]) -> str:
    """A page of `blocks`, followed by the reasons against a comparison and the gaps."""
    parts = [f"# {table.name}", *blocks]
    if (apart := apart_grid(table)).rows:
        parts += [apart.markdown()]
    if table.reasons:
        parts += ["Not comparable with the published numbers:\n\n" + bullets(notes(table))]
    if not table.complete:
        parts += ["Incomplete, and not averaged:\n\n" + bullets(gaps(table))]
    return "\n\n".join(parts) + "\n"


def bullets(lines: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def latex(grid: Grid, caption: str, below: Iterable[str] = (), small: bool = False) -> str:
    """A floating LaTeX table with remarks below it, in small print if it is wide."""
    lines = ["\\begin{table}\n\\centering", f"\\caption{{{tex(caption)}}}"]
    lines += [f"{{\\tiny\\setlength{{\\tabcolsep}}{{2pt}}\n{grid.latex()}}}" if small else grid.latex().rstrip("\n")]
    if remarks := "\n\n".join(map(tex, below)):
        lines += [f"\\begin{{minipage}}{{\\textwidth}}\\footnotesize\n{remarks}\n\\end{{minipage}}"]
    return "\n".join([*lines, "\\end{table}\n"])


def remarks(table: Table) -> list[str]:
    """The reasons against a comparison, and the gaps."""
    return [*notes(table), *(f"Incomplete: {gap}" for gap in gaps(table))]


def numbers(table: Table, cell: Cell) -> dict[str, object]:
    """Every number of a cell at full precision, as fractions."""
    row: dict[str, object] = {"num_seeds_planned": cell.num_seeds, "complete": cell.complete, "gap": cell.gap}
    scores, beside, difference = cell.scores, cell.published, cell.difference
    row |= {"num_test_clips": scores.num_clips if scores else None}
    row |= {"num_test_recordings": scores.num_recordings if scores else None}
    name, *further = (title.lower().replace(" ", "_") for title in titles(table.score))
    row |= summary(name, scores.clip if scores else None)
    row |= ends(f"{name}_to_come95", scores.to_come if scores else UNKNOWN)
    for title in further:
        row |= summary(title, scores.recording if scores else None)
    row |= {
        "majority_class": scores.constant.majority if scores else "",
        f"majority_class_{name}": scores.constant.of_majority if scores else math.nan,
        f"chance_{name}": scores.constant.chance if scores else math.nan,
        "num_seeds_of_one_class": scores.constant.num_seeds if scores else None,
    }
    row |= {
        "published_mean": beside.mean if beside else math.nan,
        "published_std_printed": beside.printed_std if beside else math.nan,
        "published_ddof": table.published.ddof if beside and table.published else math.nan,
        "published_std_sample": beside.std if beside else math.nan,
        "published_n": beside.n if beside else math.nan,
        "difference": difference.value if difference else math.nan,
    }
    row |= ends("difference_welch95", difference.interval95 if difference else UNKNOWN)
    row |= {"difference_p": difference.p if difference else math.nan, "margin": table.margin}
    row |= {"difference_p_beyond_margin": difference.p_beyond(table.margin) if difference else math.nan}
    return row | {"verdict": cell.verdict, "reasons": "; ".join(cell.reasons)}


def summary(name: str, score: SeedSummary | None) -> dict[str, object]:
    """The columns of one score over seeds."""
    blank = SeedSummary(math.nan, math.nan, 0, UNKNOWN)
    seeds = score or blank
    columns = {f"{name}_mean": seeds.mean, f"{name}_std_sample": seeds.std, f"{name}_n": seeds.n}
    return {**columns, **ends(f"{name}_t95", seeds.interval)}


def ends(name: str, interval: Interval) -> dict[str, object]:
    """The columns of one interval."""
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}


def frame(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """A frame with one row per dictionary, and counts as whole numbers."""
    table = pd.DataFrame(list(rows))
    counts = [name for name in table if str(name).startswith("num_") or str(name).endswith(("_n", "_ddof"))]
    return table.astype(dict.fromkeys(counts, "Int64"))  # otherwise one incomplete cell turns 6708 clips into 6708.0


def tex(words: str) -> str:
    """`words`, with the characters that are special in LaTeX escaped."""
    return re.sub("|".join(map(re.escape, LATEX)), lambda match: LATEX[match[0]], words)
