"""Published numbers as printed, and the reasons that keep a sweep from being compared with them."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pandas as pd
import pytest

from analysis.engine.protocol import FOLDER, incomparable, read_published
from analysis.engine.rows import table_rows
from sweeps.engine.plan import Sweep, varied
from tests.analysis.conftest import MakeRun
from trainable.config import TrialConfig

SPLIT = Path(__file__).parents[3] / "shared" / "data" / "deepship_split_recordings.csv"


def rows_of(sweep: Sweep, make_run: MakeRun, **tags: str) -> pd.DataFrame:
    """Rows of finished trials."""
    return table_rows(sweep, [make_run(trial, **tags) for trial in sweep.trials])


def test_table_one_is_read_as_printed() -> None:
    """It has 18 cells in percent; the printed deviation of three values, ddof 0, becomes a sample one."""
    published = read_published("deepship_rates")
    assert len(published.cells) == 18
    best = published.cells[32_000, 4_000]
    assert (best.mean, best.printed_std, best.n) == (pytest.approx(0.751), pytest.approx(0.003), 3)
    assert best.std == pytest.approx(0.003 * 1.5**0.5)
    assert published.cells[16_000, 2_000].printed_std == pytest.approx(0.013)
    assert max(published.cells, key=lambda rates: published.cells[rates].mean) == (32_000, 4_000)


def test_table_two_is_read_as_printed() -> None:
    """It has ten backbones, five of each type, with the parameters as printed."""
    published = read_published("deepship_backbones")
    means = {values[0]: round(100 * cell.mean, 1) for values, cell in published.cells.items()}
    assert means["timm/convnextv2_tiny.fcmae"] == max(means.values()) == 73.7
    assert means["timm/mobilenetv3_large_100.ra_in1k"] == 65.4
    cells = list(published.cells.values())
    assert [cell.printed["type"] for cell in cells] == ["PANN"] * 5 + ["TIMM"] * 5
    assert sum(means.values()) == pytest.approx(684.1)
    assert sum(cell.printed_std for cell in cells) == pytest.approx(0.112)
    wavegram = published.cells[("wavegram_logmel_cnn14",)]
    assert wavegram.std == pytest.approx(0.027 * 1.5**0.5)
    assert wavegram.printed["parameters"] == "80.0M"


@pytest.mark.parametrize("name", [path.stem for path in FOLDER.glob("*.toml")])
def test_the_study_of_a_published_table_follows_its_protocol(name: str) -> None:
    """With the authors' split, every trial of the sweep of that name has a published cell and its settings."""
    published = read_published(name)
    trials = varied(importlib.import_module(f"sweeps.{name}").SWEEP, {"split": "published"}).trials
    for trial in (config.to_dict() for config in trials):
        assert published.cell(trial)
        protocol = published.protocol(trial)
        assert {field: trial[field] for field in protocol if field in trial} == {
            field: value for field, value in protocol.items() if field in trial
        }
    assert len({tuple(getattr(trial, axis) for axis in published.axes) for trial in trials}) == len(published.cells)


def test_a_cell_may_have_its_own_protocol(backbones: Sweep, make_run: MakeRun) -> None:
    """Res1dNet31 was published without SpecAugment, CNN14 with it: each is compared with its own protocol."""
    published = read_published("deepship_backbones")
    wave, cnn14 = (
        [dataclasses.replace(backbones.trials[0], backbone=name, augment="mixup", seed=seed) for seed in (1, 2)]
        for name in ("res1dnet31", "cnn14")
    )
    rows = rows_of(Sweep("toy", (*wave, *cnn14)), make_run)
    reasons = incomparable(published, rows)
    assert reasons == {"augment is mixup here, specaugment+mixup there": {trial.key for trial in cnn14}}


def test_every_protocol_file_states_a_whole_trial() -> None:
    """The stated fields of each cell, with any seed, make a complete `TrialConfig` that is comparable."""
    for path in FOLDER.glob("*.toml"):
        published = read_published(path.stem)
        assert not set(published.config) & {*published.axes, "seed"}
        for values, cell in published.cells.items():
            stated = {**published.config, **cell.config, **dict(zip(published.axes, values, strict=True))}
            trial = TrialConfig(**stated, seed=1).to_dict()  # type: ignore[arg-type]
            assert {name: trial[name] for name in stated} == stated
            protocol = {**published.protocol(trial), **published.corpus}
            assert {name: {**trial, **published.corpus}[name] for name in protocol} == protocol


def test_a_field_that_no_trial_has_is_refused(tmp_path: Path) -> None:
    """A typing error in [config] is named with its file."""
    text = (FOLDER / "deepship_rates.toml").read_text(encoding="utf-8")
    (tmp_path / "x.toml").write_text(text.replace("clip_s = 5.0", "clips_s = 5.0"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"x.toml: TrialConfig has no field clips_s"):
        read_published("x", tmp_path)


def test_a_protocol_that_leaves_out_what_every_trial_states_is_refused(tmp_path: Path) -> None:
    """Such a field has no default to fall back on."""
    text = (FOLDER / "deepship_rates.toml").read_text(encoding="utf-8")
    (tmp_path / "x.toml").write_text(text.replace("clip_s = 5.0\n", "").replace("lr = 5e-5\n", ""), encoding="utf-8")
    with pytest.raises(ValueError, match=r"x.toml: nothing is said of clip_s, lr; complete the table \[config\]"):
        read_published("x", tmp_path)


def test_the_published_protocol_is_comparable(sweep: Sweep, make_run: MakeRun) -> None:
    """Trials with the same settings and the same numbers of recordings and clips give no reason."""
    assert incomparable(read_published("deepship_rates"), rows_of(sweep, make_run)) == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"split": "recording"}, "split is recording here, published there"),
        ({"classes": "Tanker,Tug"}, "classes is Tanker,Tug here, all there"),
        ({"weights": "none", "width": 0.25}, "width is 0.25 here, 1 there"),
        ({"epochs": 3}, "epochs is 3 here, 100 there"),
        ({"keep_by": "loss"}, "keep_by is loss here, accuracy there"),
    ],
)
def test_a_different_setting_is_a_reason(
    sweep: Sweep, make_run: MakeRun, fields: dict[str, str | int | float], reason: str
) -> None:
    """Each field that differs is named with both values."""
    trials = tuple(dataclasses.replace(trial, **fields) for trial in sweep.trials)  # type: ignore[arg-type]
    reasons = incomparable(read_published("deepship_rates"), rows_of(Sweep("toy", trials), make_run))
    assert reason in reasons
    assert len(reasons) == len(fields)


def test_other_recordings_and_clips_are_reasons(sweep: Sweep, make_run: MakeRun) -> None:
    """The counts of the three roles are named, ours and the published ones."""
    rows = rows_of(sweep, make_run, corpus_recordings="5/2/3", corpus_clips="50/20/30")
    assert tuple(incomparable(read_published("deepship_rates"), rows)) == (
        "training/validation/test recordings are 5/2/3 here, 428/60/121 there",
        "training/validation/test clips are 50/20/30 here, 23088/3974/6708 there",
    )


@pytest.mark.skipif(not SPLIT.exists(), reason=f"the published split is not at {SPLIT}")
def test_published_counts_are_those_of_the_authors_split() -> None:
    """Recordings and clips per role, counted in the authors' own split."""
    roles = pd.read_csv(SPLIT).groupby("split")["n_segments_5s"]
    order = ["train", "validation", "test"]
    corpus = read_published("deepship_rates").corpus
    assert corpus["corpus_recordings"] == "/".join(str(roles.size()[role]) for role in order)
    assert corpus["corpus_clips"] == "/".join(str(roles.sum()[role]) for role in order)
