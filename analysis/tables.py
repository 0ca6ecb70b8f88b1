"""A rate table as Markdown, LaTeX and CSV."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import pandas as pd

from analysis.rates import Cell, RateTable
from analysis.stats import UNKNOWN, Interval, SeedSummary
from analysis.wording import between, detail_captions, gaps, khz, letters, main_captions, mean_std, model, notes, signed

DETAIL_HEAD = (
    "Data",
    "Pre-training",
    "n",
    "Clip accuracy",
    "95 % seeds",
    "95 % recordings",
    "Recording accuracy",
    "Published",
    "Difference",
    "Verdict",
)
LATEX = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "±": r"$\pm$", "−": r"$-$", "–": "--", "≥": r"$\geq$"}


@dataclass(frozen=True)
class Text:
    """What one field of a table prints, and how: best, published, gap, or plain."""

    words: str
    kind: str = "plain"


def main_rows(table: RateTable) -> list[list[Text]]:
    """The compact table: for each data rate a row of ours and, where there is one, a row of published numbers."""
    rows = []
    for data_hz in table.data_rates_hz:
        cells = [table.cell(pretrain_hz, data_hz) for pretrain_hz in table.pretrain_rates_hz]
        rows.append([Text(khz(data_hz)), *(_ours(table, cell) for cell in cells)])
        if any(cell and cell.published for cell in cells):
            rows.append([Text("published", "published"), *(_published(cell) for cell in cells)])
    return rows


def detail_rows(table: RateTable) -> list[list[Text]]:
    """The detailed table: one row per cell, under `DETAIL_HEAD`."""
    return [_detail(table, cell) for cell in table.cells]


def markdown(table: RateTable) -> str:
    """The compact table, the detailed one, and what they mean."""
    head = ["Data rate", *(model(table, hz) for hz in table.pretrain_rates_hz)]
    parts = [f"# {table.name}", _grid(head, main_rows(table)), _grid(list(DETAIL_HEAD), detail_rows(table))]
    parts += ["\n".join(f"- {line}" for line in [*main_captions(table), *detail_captions(table)])]
    if table.reasons:
        parts += ["Not comparable with the published numbers:\n\n" + "\n".join(f"- {note}" for note in notes(table))]
    if not table.complete:
        parts += ["Incomplete, and not averaged:\n\n" + "\n".join(f"- {gap}" for gap in gaps(table))]
    return "\n\n".join(parts) + "\n"


def latex(table: RateTable) -> str:
    """Both tables for LaTeX without any package."""
    head = ["Data rate", *(model(table, hz) for hz in table.pretrain_rates_hz)]
    remarks = [*detail_captions(table), *notes(table), *(f"Incomplete: {gap}" for gap in gaps(table))]
    below = "\n\n".join(_tex(remark) for remark in remarks)
    main = _tabular(head, main_rows(table))
    detail = _tabular(list(DETAIL_HEAD), detail_rows(table))
    return (
        f"\\begin{{table}}\n\\centering\n\\caption{{{_tex(' '.join(main_captions(table)))}}}\n{main}\\end{{table}}\n\n"
        f"\\begin{{table}}\n\\centering\n\\caption{{Every cell, with its uncertainty.}}\n"
        f"{{\\tiny\\setlength{{\\tabcolsep}}{{2pt}}\n{detail}}}\n"
        f"\\begin{{minipage}}{{\\textwidth}}\\footnotesize\n{below}\n\\end{{minipage}}\n\\end{{table}}\n"
    )


def csv_frame(table: RateTable) -> pd.DataFrame:
    """One row per cell with every number at full precision, as fractions."""
    frame = pd.DataFrame([_numbers(table, cell) for cell in table.cells])
    counts = [name for name in frame if str(name).startswith("num_") or str(name).endswith(("_n", "_ddof"))]
    return frame.astype(dict.fromkeys(counts, "Int64"))  # else one incomplete cell turns 6708 clips into 6708.0


def _ours(table: RateTable, cell: Cell | None) -> Text:
    if cell is None:
        return Text("–", "gap")
    if cell.scores is None:
        return Text(cell.gap, "gap")
    return Text(mean_std(cell.scores.clip.mean, cell.scores.clip.std), "best" if table.is_best(cell) else "plain")


def _published(cell: Cell | None) -> Text:
    beside = cell.published if cell else None
    return Text(mean_std(beside.mean, beside.printed_std) if beside else "–", "published")


def _detail(table: RateTable, cell: Cell) -> list[Text]:
    names = [Text(khz(cell.data_hz)), Text(model(table, cell.pretrain_hz))]
    if cell.scores is None:
        return [*names, Text("–"), Text(cell.gap, "gap"), *[Text("–")] * 3, _published(cell), Text("–"), Text("–")]
    scores, difference = cell.scores, cell.difference
    verdict = cell.verdict or "–"
    if table.reasons and cell.verdict:
        verdict += f" ({', '.join(letters(table))})"
    return [
        *names,
        Text(str(scores.clip.n)),
        _ours(table, cell),
        Text(between(scores.clip.interval)),
        Text(between(scores.over_recordings)),
        Text(mean_std(scores.recording.mean, scores.recording.std)),
        _published(cell),
        Text(f"{signed(difference.value)} {between(difference.interval95)}" if difference else "–"),
        Text(verdict),
    ]


def _numbers(table: RateTable, cell: Cell) -> dict[str, object]:
    row: dict[str, object] = {"sweep": table.name, "backbone": table.backbone}
    row |= {"pretrain_hz": cell.pretrain_hz, "data_hz": cell.data_hz, "num_seeds_planned": cell.num_seeds}
    row |= {"complete": cell.complete, "gap": cell.gap}
    scores, beside, difference = cell.scores, cell.published, cell.difference
    row |= {"num_test_clips": scores.num_clips if scores else None}
    row |= {"num_test_recordings": scores.num_recordings if scores else None}
    row |= _summary("clip_accuracy", scores.clip if scores else None)
    row |= _ends("clip_accuracy_bootstrap95", scores.over_recordings if scores else UNKNOWN)
    row |= _summary("recording_accuracy", scores.recording if scores else None)
    row |= {
        "published_mean": beside.mean if beside else math.nan,
        "published_std_printed": beside.printed_std if beside else math.nan,
        "published_ddof": table.published.ddof if beside and table.published else math.nan,
        "published_std_sample": beside.std if beside else math.nan,
        "published_n": beside.n if beside else math.nan,
        "difference": difference.value if difference else math.nan,
    }
    row |= _ends("difference_welch95", difference.interval95 if difference else UNKNOWN)
    row |= _ends("difference_welch90", difference.interval90 if difference else UNKNOWN)
    row |= {"difference_p": difference.p if difference else math.nan, "margin": table.margin}
    return row | {"verdict": cell.verdict, "reasons": "; ".join(table.reasons)}


def _summary(name: str, found: SeedSummary | None) -> dict[str, object]:
    blank = SeedSummary(math.nan, math.nan, 0, UNKNOWN)
    summary = found or blank
    numbers = {f"{name}_mean": summary.mean, f"{name}_std_sample": summary.std, f"{name}_n": summary.n}
    return {**numbers, **_ends(f"{name}_t95", summary.interval)}


def _ends(name: str, interval: Interval) -> dict[str, object]:
    return {f"{name}_low": interval.low, f"{name}_high": interval.high}


def _grid(head: list[str], rows: list[list[Text]]) -> str:
    marks = {"best": "**{}**", "published": "*{}*", "gap": "({})", "plain": "{}"}
    body = [[marks[text.kind].format(text.words) for text in row] for row in rows]
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    lines = [head, ["-" * width for width in widths], *body]
    padded = [[word.ljust(width) for word, width in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _tabular(head: list[str], rows: list[list[Text]]) -> str:
    marks = {"best": r"\textbf{{{}}}", "published": r"\textit{{{}}}", "gap": r"\textit{{{}}}", "plain": "{}"}
    body = [" & ".join(marks[text.kind].format(_tex(text.words)) for text in row) + r" \\" for row in rows]
    lines = [r"\hline", " & ".join(map(_tex, head)) + r" \\", r"\hline", *body, r"\hline"]
    begin, end = f"\\begin{{tabular}}{{{'l' * len(head)}}}", r"\end{tabular}"
    return "\n".join([r"\makebox[\textwidth][c]{%", begin, *lines, f"{end}}}\n"])  # centred, also when it is wider


def _tex(words: str) -> str:
    return re.sub("|".join(map(re.escape, LATEX)), lambda found: LATEX[found[0]], words)
