"""The page of a report and its files for programs, from runs whose answers are known."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from analysis.engine.claims.claim import Claim, those
from analysis.engine.command import about, material
from analysis.engine.figures import style
from analysis.engine.figures.learning import learning
from analysis.engine.kinds import Pivot
from analysis.engine.page import each_run, errors, machine
from analysis.engine.page.cautions import cautions
from analysis.engine.page.extras import Extras, gathered
from analysis.engine.protocol import read_published
from analysis.engine.stats import Interval
from analysis.engine.tables import pivot
from analysis.engine.tables.cells import Material
from analysis.engine.tables.pivot import PivotTable
from analysis.engine.wording import within
from datasets.engine import manifest
from datasets.engine.clips import Cut
from datasets.engine.corpus import Corpus, CorpusError, Recording
from datasets.engine.decoding import heard
from datasets.engine.scan import scan
from sweeps.engine.plan import Sweep
from sweeps.engine.store.runs import Run
from tests.analysis.conftest import MakeRun

RATES = Pivot(down="data_hz", across="pretrain_hz")
ROOT = Path(__file__).parents[2]
COMMANDS = {"Runs made by": "python -m sweeps.toy_rates"}


def made(sweep: Sweep, runs: list[Run], published: str = "") -> tuple[PivotTable, Material, Extras]:
    """A table of two rates with its extras, from runs that no store holds."""
    made_of = material(sweep, runs, read_published(published) if published else None, "", 0.02)
    table = RATES.table(made_of)
    return table, made_of, gathered(table, made_of, {run.key: run for run in runs}, "sqlite:////no/store", COMMANDS)


def written(table: PivotTable, made_of: Material, extras: Extras, out: Path) -> dict[str, str | bytes]:
    """The files of its report."""
    return RATES.files(table, "Is it so?", "python -m analysis.toy", out, RATES.findings(table, made_of), extras)


def rerun(run: Run, run_id: str, answer: int | None) -> Run:
    """A run that names one class for every clip, or each clip's own."""
    arrays = dict(np.load(Path(run.artifact_uri) / "predictions.npz"))
    classes = len(arrays["classes"])
    given = np.full_like(arrays["labels"], answer) if answer is not None else arrays["labels"]
    arrays["logits"] = np.eye(classes, dtype=np.float32)[given]
    folder = Path(run.artifact_uri).with_name(run_id)
    folder.mkdir()
    np.savez(folder / "predictions.npz", **arrays)
    metrics = {**run.metrics, "test_accuracy": float((given == arrays["labels"]).mean())}
    return dataclasses.replace(run, run_id=run_id, artifact_uri=str(folder), metrics=metrics)


@pytest.mark.slow
def test_the_page_goes_from_the_answer_to_the_appendix(
    sweep: Sweep, complete: list[Run], tmp_path: Path, check_page: Callable[[str], None]
) -> None:
    """The first sentence after the heading is the first finding; then come the parts in their order, claims too."""
    table, made_of, extras = made(sweep, complete)
    claim = SimpleNamespace(text="4 kHz is <better>", where="Table I", verdict="supported", sentence="+2.0 points.")
    files = written(table, made_of, dataclasses.replace(extras, claims=[claim]), tmp_path)
    page = str(files["report.html"])
    check_page(page)
    answer = RATES.findings(table, made_of)[0]
    assert re.search(r"</h1>\s*<p class=\"answer\">(.*)</p>", page)[1] == answer  # type: ignore[index]
    parts = ("Recipe", "Claims", "Accuracy by", "Accuracy over", "Results by class", "Worst errors", "Every cell")
    places = [page.index(f"<h2>{part}") for part in (*parts, "Provenance")]
    assert places == sorted(places)
    assert '<span class="verdict supported">supported</span> <strong>4 kHz is &lt;better&gt;</strong>' in page
    assert json.loads(files["report.json"])["claims"] == [vars(claim)]


def test_the_recipe_says_what_was_done(sweep: Sweep, complete: list[Run]) -> None:
    """What was varied, the counts of the corpus, the seeds, the day and the command; nothing of what is absent."""
    runs = [dataclasses.replace(run, ended_unix_s=86_400.0 * 365) for run in complete]
    _, _, extras = made(sweep, runs)
    lines = {line.name: "; ".join(line.words) for line in extras.recipe}
    assert lines["Varied"] == "pre-training rate: 16 kHz, 32 kHz; data rate: 2 kHz, 4 kHz"
    assert "428 / 60 / 121 recordings for training / validation / test" in lines["Recordings"]
    assert "the published split" in lines["Recordings"]
    assert "at most 100 epochs; stopped after 50 epochs without a better one" in lines["Training"]
    assert (lines["Seeds"], lines["Date"]) == ("1, 2, 3 (n = 3)", "1 January 1971, 00:00 to 00:00 UTC")
    assert lines["Runs made by"] == COMMANDS["Runs made by"]
    assert "overlap" not in lines["Recordings"]


def test_equal_means_are_a_tie_and_none_is_bold(sweep: Sweep, complete: list[Run]) -> None:
    """Networks that name one class for every clip are all alike, which is said and not decorated."""
    runs = [
        dataclasses.replace(rerun(run, f"one-{i}", 1), tags={**run.tags, "majority_class": "Tanker"})
        for i, run in enumerate(complete)
    ]
    table, made_of, extras = made(sweep, runs)
    assert not any(table.is_best(cell) for cell in table.cells)
    assert "No mean is bold: all 4 are alike." in " ".join(pivot.captions(table))
    tie, one_class, *_ = extras.cautions
    assert tie.startswith("No setting is better than another: all 4 cells have the same mean")
    assert one_class.startswith("12 networks name one class for every test clip")
    assert RATES.findings(table, made_of)[0].startswith("No setting is better than another")


def test_a_score_below_the_majority_class_is_said(sweep: Sweep, complete: list[Run]) -> None:
    """Only of the cell that is below; a network that is right throughout is not."""
    runs = [
        rerun(run, f"right-{i}", None) if run.params["pretrain_hz"] == "16000" else rerun(run, f"wrong-{i}", 0)
        for i, run in enumerate(complete)
    ]
    arrays = np.load(Path(runs[0].artifact_uri) / "predictions.npz")
    shares = np.bincount(arrays["labels"]) / len(arrays["labels"])
    most = str(arrays["classes"][shares.argmax()])
    assert shares[0] < shares.max()
    runs = [dataclasses.replace(run, tags={**run.tags, "majority_class": most}) for run in runs]
    table, _, extras = made(sweep, runs)
    (below,) = [caution for caution in extras.cautions if caution.startswith("Worse than")]
    assert f"({most}: {100 * shares.max():.1f} %): 2 kHz, CNN14_32k; 4 kHz, CNN14_32k." in below
    assert any(caution.startswith("A tie for the best mean, 100.0 %: 2 kHz, CNN14_16k") for caution in cautions(table))


def test_one_seed_and_two_that_differ_widely_are_cautions(sweep: Sweep, make_run: MakeRun) -> None:
    """With n = 1 nothing is known of seeds; with 5 % and 85 % the interval covers all that an accuracy can be."""
    one = Sweep("toy_rates", tuple(trial for trial in sweep.trials if trial.seed == 1))
    _, _, extras = made(one, [make_run(trial, 0.5 + trial.data_hz / 1e5) for trial in one.trials])
    assert any(caution.startswith("One seed only (n = 1)") for caution in extras.cautions)

    two = Sweep("toy_rates", tuple(trial for trial in sweep.trials if trial.seed < 3))
    runs = [make_run(trial, 0.05 + 0.8 * (trial.seed == 2), run_id=f"wide-{trial.key}") for trial in two.trials]
    table, _, extras = made(two, runs)
    (caution,) = [caution for caution in extras.cautions if "unknown within 0 to 100 %" in caution]
    assert caution.startswith("With n = 2 seeds")
    assert {row[4].words for row in pivot.detail_grid(table).rows} == {"unknown"}
    assert "−" not in pivot.detail_grid(table).markdown()


def test_an_interval_that_says_nothing_is_a_word() -> None:
    """In words where it covers all that a share can be, as printed; a loss has no such ends."""
    assert within(Interval(0.0004, 0.9996)) == "unknown"
    assert within(Interval(0.0, 0.5)) == "[0.0, 50.0]"
    assert within(Interval(0.006, 0.9996)) == "[0.6, 100.0]"
    assert within(Interval(math.nan, math.nan)) == "–"
    assert within(Interval(-0.1, 2.5), share=False) == "[−0.100, 2.500]"


@pytest.mark.slow
def test_differences_that_say_nothing_fold_away(
    sweep: Sweep, complete: list[Run], make_run: MakeRun, tmp_path: Path
) -> None:
    """Without a comparable cell they are in a part that opens on demand; with one, in the table of all cells."""
    runs = [make_run(trial, run_id=f"other-{trial.key}", corpus_clips="1/2/3") for trial in sweep.trials]
    page = str(written(*made(sweep, runs, "deepship_rates"), tmp_path)["report.html"])
    assert re.search(r"<details><summary><strong>Not comparable[^<]*</strong> \(1 reason\)", page)
    assert "Verdict" not in pivot.detail_grid(made(sweep, runs, "deepship_rates")[0]).head
    table, *rest = made(sweep, complete, "deepship_rates")
    assert "Verdict" in pivot.detail_grid(table).head
    assert "Not comparable" not in str(written(table, *rest, tmp_path)["report.html"])


def test_a_mark_shows_its_value_in_the_colours_of_the_page(sweep: Sweep, complete: list[Run], tmp_path: Path) -> None:
    """Each cell has a title in the figure's SVG; on the page, no colour of a light page is left but on the matrices."""
    files = written(*made(sweep, complete), tmp_path)
    assert str(files["figure.svg"]).count("<title>") == 4
    assert "<title>2 kHz, CNN14_16k: 70.0 ± 0.5 % (n = 3); 95 % here [" in str(files["figure.svg"])
    first = str(files["report.html"]).partition("<figure")[2].partition("</figure>")[0]
    assert "var(--series-0)" in first
    assert not re.search(r"#(000000|ffffff|0072b2)", first)


@pytest.mark.slow
def test_every_run_has_its_address_and_its_row(sweep: Sweep, complete: list[Run], tmp_path: Path) -> None:
    """A row a seed with the score of its predictions; the link leads to the page of the run in MLflow."""
    from sweeps.engine.store.pages import run_address

    files = written(*made(sweep, complete[1:]), tmp_path)
    rows = pd.read_csv(io.StringIO(str(files["seeds.csv"])))
    assert len(rows) == 12
    done = rows[rows["status"] == "finished"].set_index("key")
    assert done["clip_accuracy"].to_dict() == pytest.approx(
        {run.key: run.metrics["test_accuracy"] for run in complete[1:]}
    )
    assert rows.loc[rows["status"] == "missing", "clip_accuracy"].isna().all()
    assert run_address("https://mlflow.org/x/", "7", "abc") == "https://mlflow.org/x/#/experiments/7/runs/abc"
    assert run_address("sqlite:////a.db", "7", "abc") == "http://127.0.0.1:5000/#/experiments/7/runs/abc"


@pytest.mark.slow
def test_the_document_for_programs_is_read_back(sweep: Sweep, complete: list[Run], tmp_path: Path) -> None:
    """Its keys are those that the documentation lists; every number of a cell is there, and what is unknown is null."""
    table, made_of, extras = made(sweep, complete[1:], "deepship_rates")
    document = json.loads(written(table, made_of, extras, tmp_path)["report.json"], parse_constant=pytest.fail)
    documented = (ROOT / "docs" / "report.md").read_text(encoding="utf-8").partition("## `report.json`")[2]
    assert re.findall(r"^\| `(\w+)` ", documented, re.MULTILINE) == list(document)
    first, *others = document["cells"]
    assert (first["gap"], first["clip_accuracy_mean"]) == ("2 of 3 seeds: missing 1", None)
    cell = table.cells[1]
    assert cell.scores is not None
    assert others[0]["clip_accuracy_mean"] == cell.scores.clip.mean
    assert others[0]["verdict"] == cell.verdict
    assert len(document["seeds"]) == 12
    assert document["published"]["ddof"] == 0
    assert machine.finite({"a": np.float64("nan"), "b": np.int64(3), "c": (math.inf, "x")}) == {
        "a": None,
        "b": 3,
        "c": [None, "x"],
    }


def test_latex_is_ruled_by_booktabs(sweep: Sweep, complete: list[Run]) -> None:
    """Three rules a table and no line between cells; braces and backslashes of a name are letters."""
    text = pivot.latex(made(sweep, complete)[0])
    tables = text.count(r"\begin{tabular}")
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\hline")] == [tables] * 3 + [0]
    from analysis.engine.tables.grids import tex

    assert tex(r"a\b_{c}$") == r"a\textbackslash{}b\_\{c\}\$"


def test_learning_curves_show_every_epoch(sweep: Sweep, complete: list[Run]) -> None:
    """A panel for each cell, a line for each seed, and a dot at the kept epoch; runs without epochs have none."""
    table, made_of, extras = made(sweep, complete)
    assert extras.curves == {}
    runs = {run.key: run for run in complete}
    epochs = [{"epoch": float(i), "val_accuracy": 0.1 * i, "val_loss": 1 / i, "epoch_s": 2.0} for i in (1, 2, 3, 4)]
    curves = {run.run_id: epochs for run in complete[:-1]}
    panels = each_run.panels(table, made_of, runs, curves)
    assert [len(panel.curves) for panel in panels] == [3, 3, 3, 2]
    assert each_run.trained_s(curves) == 11 * 4 * 2
    shown = each_run.quantities(made_of.trial.main_score)
    figure = learning(panels, shown["curves"], 2)
    lines = [line for line in figure.axes[0].get_lines() if len(np.ravel(line.get_xdata())) == 4]
    assert [np.ravel(line.get_ydata()).tolist() for line in lines] == [pytest.approx([10, 20, 30, 40])] * 3
    titles = re.findall("<title>(.*?)</title>", style.svg(figure))
    assert len(titles) == 11
    assert titles[0] == "2 kHz, CNN14_16k, seed 1: validation accuracy 30.0 % at the kept epoch, 3"
    losses = learning(panels, shown["losses"]).axes[0]
    assert len([line for line in losses.get_lines() if len(np.ravel(line.get_xdata())) == 4]) == 3  # no training loss


def test_the_worst_errors_are_the_surest(sweep: Sweep, complete: list[Run]) -> None:
    """Of the best cell, by the mean probability over its seeds, falling; none of them is right."""
    table, made_of, extras = made(sweep, complete)
    worst = extras.errors
    assert worst is not None
    assert table.is_best(next(cell for cell in table.cells if table.title(cell) == worst.cell))
    sure = [clip.probability for clip in worst.clips]
    assert sure == sorted(sure, reverse=True)
    assert all(clip.true != clip.predicted and clip.of_true < clip.probability for clip in worst.clips)
    assert all(clip.start_s == 5 * clip.clip for clip in worst.clips)
    every = errors.worst(table, made_of, most=10_000)
    assert every is not None
    assert max(clip.probability for clip in every.clips) == sure[0]
    assert worst.cell == "4 kHz, CNN14_16k"
    best = made_of.rows[(made_of.rows["data_hz"] == 4_000) & (made_of.rows["pretrain_hz"] == 16_000)]
    seeds = [made_of.predictions[key] for key in best["key"]]
    softmax = np.mean([np.exp(its.logits) / np.exp(its.logits).sum(axis=1, keepdims=True) for its in seeds], axis=0)
    assert worst.num_wrong == (softmax.argmax(axis=1) != seeds[0].labels).sum()
    assert sure[0] == pytest.approx(softmax.max(axis=1)[softmax.argmax(axis=1) != seeds[0].labels].max())


@pytest.fixture
def ships(tmp_path: Path) -> Path:
    """A storage whose scan knows 10 recordings of stereo sound at 8 kHz, of 8 clips of 5 s each."""
    rng = np.random.default_rng(3)
    recordings = []
    for number in range(10):
        path = tmp_path / "audio" / f"ship-{number:03d}.wav"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, 0.2 * rng.standard_normal((8 * 5 * 8_000 + 77, 2)), 8_000, subtype="PCM_16")
        recordings.append(Recording(f"ship-{number:03d}", path, "Tug" if number % 2 else "Cargo"))
    corpus = Corpus("toy", tmp_path / "audio", ("Cargo", "Tug"), tuple(recordings))
    manifest.write(scan(corpus, 5.0, tmp_path / "cache"), tmp_path / "scans")
    return tmp_path


@pytest.mark.slow
def test_the_errors_are_heard_as_they_were_recorded(
    sweep: Sweep, complete: list[Run], ships: Path, tmp_path: Path, check_page: Callable[[str], None]
) -> None:
    """What a page plays is, sample by sample, the mean of the file's channels from that second on."""
    table, made_of, extras = made(sweep, complete)
    every = errors.worst(table, made_of, most=1_000)
    assert every is not None
    found = dataclasses.replace(every, clips=tuple(c for c in every.clips if c.recording < "ship-010" and c.clip < 8))
    assert len(found.clips) > 2
    (stored,) = (ships / "scans").glob("*.json")
    trial = sweep.trials[0]
    played = errors.with_sound(found, trial, stored.stem, ships, None)
    page = str(written(table, made_of, dataclasses.replace(extras, errors=played), tmp_path)["report.html"])
    check_page(page)
    sounds = re.findall(r'<audio [^>]*src="data:audio/wav;base64,([^"]+)"', page)
    assert len(sounds) == len(found.clips)
    for clip, sound in zip(found.clips, sounds, strict=True):
        samples, rate_hz = soundfile.read(io.BytesIO(base64.b64decode(sound)), dtype="int16")
        source, _ = soundfile.read(ships / "audio" / f"{clip.recording}.wav", dtype="float32")
        start = round(clip.start_s * 8_000)
        assert (rate_hz, len(samples)) == (8_000, 40_000)
        assert np.abs(samples - 32_767 * source[start : start + 40_000].mean(axis=1)).max() <= 0.51

    moved = ships / "elsewhere"
    (ships / "audio").rename(moved)
    with pytest.raises(
        CorpusError, match=r"ship-\d+.wav: cannot be read.*name the folder of the corpus with --data-root"
    ):
        errors.with_sound(found, trial, stored.stem, ships, None)
    assert errors.with_sound(found, trial, stored.stem, ships, moved) == played
    first = moved / f"{found.clips[0].recording}.wav"
    soundfile.write(first, np.random.default_rng(1).standard_normal(320_077) / 9, 8_000)
    with pytest.raises(CorpusError, match="is not the file that was tested"):
        errors.with_sound(found, trial, stored.stem, ships, moved)
    with pytest.raises(CorpusError, match=r"--audio: .*is missing; name the folder of the sweep with --storage"):
        errors.with_sound(found, trial, "0" * 16, ships, None)


def test_a_clip_is_cut_as_a_trial_cuts_it(ships: Path) -> None:
    """Overlapping clips begin at their hop; a rate that browsers do not play is lowered; a missing clip is told."""
    recording = Recording("ship-000", ships / "audio" / "ship-000.wav", "Cargo")
    cut = Cut(5.0, overlap=0.5)
    third, rate_hz = heard.clip(recording, cut, 2)
    whole, _ = heard.clip(recording, Cut(5.0), 1)
    assert rate_hz == 8_000
    assert np.array_equal(third, whole)
    assert not np.array_equal(third, heard.clip(recording, cut, 0)[0])
    with pytest.raises(CorpusError, match="has 8 clips, and clip 8 was tested"):
        heard.clip(recording, Cut(5.0), 8)
    path = ships / "audio" / "bat.wav"
    soundfile.write(path, np.random.default_rng(1).standard_normal(192_000) / 9, 192_000)
    assert heard.clip(Recording("bat", path, "Cargo"), Cut(0.5), 0)[1] == heard.MOST_HZ


def test_a_claim_is_judged_where_both_its_sides_are_planned(sweep: Sweep) -> None:
    """A shortened or changed study keeps the others, so that its report can still be written."""
    both = Claim("16 kHz is better", "here", better=those(pretrain_hz=16_000), than=those(pretrain_hz=32_000))
    elsewhere = Claim("64 kHz is better", "there", better=those(data_hz=64_000))
    assert about([both, elsewhere], sweep.trials) == [both]
    assert about([both], sweep.trials[:3]) == []
