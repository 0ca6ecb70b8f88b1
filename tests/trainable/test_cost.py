"""The table of operations agrees with torch's count, and reading it imports nothing heavy."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.flops import count, trial
from trainable.backbones import efficientat, panns, timm
from trainable.cost.cost import epoch_flops, forward_flops

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "width", "clip_s", "within"),
    [
        ("cnn14", 1 / 4, 2.5, 1e-4),  # where the table was counted
        ("cnn14", 1 / 8, 5.0, 0.02),
        ("mobilenetv1", 1.0, 5.0, 0.02),
        ("res1dnet31", 1 / 16, 10.0, 1e-4),  # on waveforms
        ("wavegram_logmel_cnn14", 1 / 16, 5.0, 0.02),
        ("timm/mobilenetv3_large_100.ra_in1k", 1 / 2, 5.0, 0.05),
        ("timm/tf_efficientnet_lite0.in1k", 1.0, 5.0, 0.02),
        ("efficientat/mn04_as", 1.0, 5.0, 0.02),
        ("efficientat/mn40_as", 1 / 4, 10.0, 1e-4),
    ],
)
def test_the_table_is_what_torch_counts(backbone: str, width: float, clip_s: float, within: float) -> None:
    """If a network changes, `python -m benchmarks.flops` must be run."""
    config = trial(backbone, width, clip_s)
    assert forward_flops(config) == pytest.approx(count(config), rel=within)


@pytest.mark.parametrize("name", [*panns.NAMES, *(f"timm/{name}" for name in timm.KNOWN), *efficientat.NAMES])
def test_every_network_with_a_card_is_counted(name: str) -> None:
    """A dry run forecasts it once `--measure` has timed another network here."""
    assert forward_flops(trial(name))


def test_an_uncounted_network_has_no_number() -> None:
    """Networks of timm that are not in the table have no number."""
    assert forward_flops(trial("timm/vit_tiny_patch16_224.augreg_in21k")) is None
    assert epoch_flops(trial("timm/vit_tiny_patch16_224.augreg_in21k"), 10, 1) is None


def test_an_epoch_trains_on_samples_and_predicts_clips() -> None:
    """A sample costs three forward passes, a validation clip one; mixup halves the samples."""
    plain = trial("cnn14")
    forward = forward_flops(plain)
    assert forward == pytest.approx(19.9e9, rel=0.01)
    assert epoch_flops(plain, 100, 7) == pytest.approx((300 + 7) * forward)
    assert epoch_flops(dataclasses.replace(plain, augment="mixup"), 101, 7) == pytest.approx((150 + 7) * forward)


@pytest.mark.slow
def test_a_plan_may_ask_without_torch() -> None:
    """The table is read with the standard library."""
    fields = trial("cnn14").to_dict()
    program = (
        "import sys; from trainable.config import TrialConfig; from trainable.cost.cost import forward_flops\n"
        f"assert forward_flops(TrialConfig(**{fields!r}))\n"
        "sys.exit(str([m for m in ('torch', 'numpy', 'ray') if m in sys.modules]))"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert run.stderr == "[]\n"
