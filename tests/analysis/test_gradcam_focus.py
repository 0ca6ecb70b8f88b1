"""The focus of maps: areas known by hand, and their uncertainty over recordings."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats

from analysis.engine.inference.influences import of_mean
from analysis.inside.attention import MEASURES, captions, difference, effective_area, focus, half_area, markdown
from sweeps.recipes.mohammadi import RATES

TRIAL = RATES.but(augment="none")


def delta() -> np.ndarray:
    plane = np.zeros((10, 8), dtype=np.float32)
    plane[3, 4] = 1
    return plane


def half_plane() -> np.ndarray:
    plane = np.zeros((10, 8), dtype=np.float32)
    plane[:5] = 1
    return plane


@pytest.mark.parametrize(
    ("plane", "area"), [(delta(), 1 / 80), (half_plane(), 0.5), (np.full((10, 8), 0.3, dtype=np.float32), 1.0)]
)
def test_areas_of_simple_maps(plane: np.ndarray, area: float) -> None:
    """A point, half of the plane and all of it are measured right, by both measures and at any scale."""
    for measure in MEASURES.values():
        assert measure(np.stack([plane, plane / 7])) == pytest.approx([area, area], rel=1e-6)


def test_the_measures_differ_where_a_map_has_a_floor() -> None:
    """For a point on a floor of 0.4, the half area is a point, and the effective area counts the floor."""
    plane = np.maximum(delta(), np.float32(0.4))
    shares = np.array([1.0, *[0.4] * 79]) / (1 + 79 * 0.4)
    assert half_area(plane[None])[0] == pytest.approx(1 / 80)
    assert effective_area(plane[None])[0] == pytest.approx(math.exp(-(shares * np.log(shares)).sum()) / 80)


def test_a_shared_recording_effect_cancels() -> None:
    """Groups differ by 0.1, their recordings by far more: the interval is as narrow as the noise."""
    rng = np.random.default_rng(1)
    recording = np.repeat([f"r{i:02d}" for i in range(30)], 4)
    effect = np.repeat(rng.normal(0, 1, 30), 4)
    one, other = (effect + shift + 0.01 * rng.normal(size=120) for shift in (0.1, 0.0))
    value, interval = difference((one, recording), (other, recording))
    assert value == pytest.approx(one.mean() - other.mean())
    assert 0.09 < interval.low < value < interval.high < 0.11
    _, unpaired = difference((one, recording), (other, np.char.add(recording, "x")))
    assert unpaired.high - unpaired.low > 20 * (interval.high - interval.low)


def test_the_interval_of_a_difference_is_that_of_its_recordings() -> None:
    """Three recordings of one map in each group: Student's interval of the three differences."""
    one, other, names = np.array([3.0, 1.0, 8.0]), np.array([1.0, 2.0, 0.5]), np.array(["a", "b", "c"])
    value, interval = difference((one, names), (other, names))
    expected = scipy_stats.ttest_rel(one, other).confidence_interval(0.95)
    assert value == pytest.approx((one - other).mean())
    assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high))


def test_a_group_in_few_recordings_has_a_wide_interval() -> None:
    """Two of six recordings have wrong clips: the interval is finite, with the freedom of two."""
    recording = np.repeat(list("abcdef"), 3)
    value, interval = difference((np.arange(18.0), recording), (np.array([1.0, 3.0]), np.array(["a", "b"])))
    assert value == pytest.approx(8.5 - 2)
    assert math.isfinite(interval.low)
    assert interval.low < value < interval.high


@pytest.mark.parametrize(
    "other", [(np.array([]), np.array([], dtype=str)), (np.array([1.0, 2.0]), np.array(["a"] * 2))]
)
def test_too_few_maps_or_recordings_give_unknown_values(other: tuple[np.ndarray, np.ndarray]) -> None:
    """Without a clip there is no value; with one recording there is no interval."""
    value, interval = difference((np.arange(4.0), np.array(list("abcd"))), other)
    assert math.isnan(value) == (len(other[0]) == 0)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def samples(shift: float, wrong: bool = True) -> pd.DataFrame:
    """Twelve recordings of four clips; the last of each is wrong and wider by 0.2; one map is zero."""
    rng = np.random.default_rng(0)
    right = np.tile([True, True, True, not wrong], 12)
    area = 0.3 + shift + 0.2 * ~right + 0.01 * rng.normal(size=48)
    area[0] = np.nan
    recording = np.repeat([f"r{i:02d}" for i in range(12)], 4)
    return pd.DataFrame({"recording": recording, "right": right, "half_area": area, "effective_area": area / 2})


def row(areas: pd.DataFrame, measure: str, network: str, kind: str) -> pd.Series:
    """The only row of these."""
    ((_, its),) = areas[
        (areas["measure"] == measure) & (areas["network"] == network) & (areas["kind"] == kind)
    ].iterrows()
    return its


def test_focus_has_every_mean_and_difference() -> None:
    """Means have the interval of `of_mean`; differences are within a network and between networks."""
    a = samples(0.0)
    areas = focus({"A": a, "B": samples(0.1)})
    assert len(areas) == 2 * (2 * 3 + 2)
    right = a[a["right"] & a["half_area"].notna()]
    mean = row(areas, "half_area", "A", "correct")
    names = right["recording"].to_numpy(dtype=str)
    interval = of_mean(right["half_area"].to_numpy(), names, np.unique(names)).interval()
    assert mean["value"] == right["half_area"].mean()
    assert (mean["low"], mean["high"]) == (interval.low, interval.high)
    assert (mean["num_maps"], mean["num_recordings"], mean["num_zero"]) == (35, 12, 1)
    within = row(areas, "effective_area", "B", "correct − wrong")
    assert within["value"] == pytest.approx(-0.1, abs=0.01)
    assert within["high"] < 0
    between = row(areas, "half_area", "A − B", "wrong")
    assert between["value"] == pytest.approx(-0.1, abs=1e-9)
    assert row(areas, "half_area", "A − B", "correct")["num_maps"] == 70


def test_the_table_says_what_is_unknown() -> None:
    """Numbers are in percent, differences have a sign, and an en dash stands where no clip is wrong."""
    areas = focus({"A": samples(0.0, wrong=False)})
    words = markdown(areas, captions({TRIAL: (15, 2)}, None))
    table = [line for line in words.splitlines() if line.startswith("| ")]
    assert len(set(map(len, table))) == 1
    assert max(len(line) for line in words.splitlines() if line not in table) < 120
    lines = [" ".join(line.split()) for line in table[2:]]
    assert [line.split(" | ")[1] for line in lines] == ["correct", "wrong", "correct − wrong"]
    assert lines[0].startswith("| A | correct | 30.")
    assert lines[0].endswith("| 47 (and 1 of zeros) | 12 |")
    assert lines[1] == "| A | wrong | – | – | – | – | 0 | 0 |"
    assert lines[2].startswith("| A | correct − wrong | – | – |")
    signed = markdown(focus({"A": samples(0.0), "B": samples(0.1)}), ())
    assert "| B | correct − wrong | −2" in " ".join(signed.split())


def test_captions_tell_the_resolution() -> None:
    """They give the size of cells, say that a map has no frequencies, and mention a subset of clips."""
    wave = dataclasses.replace(TRIAL, backbone="res1dnet31")
    lines = captions({TRIAL: (15, 2), wave: (7,)}, 25)
    assert any("cnn14: the last map has 15 x 2 cells of 0.33 s x 32 mel bands" in line for line in lines)
    assert any("res1dnet31: the last map has 7 cells of 0.71 s and no frequencies" in line for line in lines)
    assert "At most 25 test clips of each class" in lines[0]
    assert "At most" not in captions({TRIAL: (15, 2)}, None)[0]
