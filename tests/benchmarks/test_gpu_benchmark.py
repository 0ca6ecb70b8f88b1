"""The figures of a GPU's steps follow from counts that can be checked without a GPU."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

import jaxtyping
import pytest
import torch

from benchmarks import gpu, roofline
from benchmarks.roofline import Counter, Work

CPU = torch.device("cpu")
# GFLOP per sample of a training step, for 5 s of 32 kHz: three forward passes without the gradient of the first input.
GFLOPS = {"cnn14": 59.7, "mobilenetv1": 2.21 - 0.021, "resnet38": 69.7, "timm/resnet50.a1_in1k": 15.6}
# MobileNetV1's first convolution pools too: 4 x 4 products instead of 4 times 3 x 3, for 250 x 32 x 32 values, twice
# (forward, and the gradient of its weights; there is none of its input).


@pytest.mark.parametrize("backbone", GFLOPS)
def test_the_arithmetic_of_a_step_is_that_of_its_layers(backbone: str) -> None:
    """The counts equal those of the published networks, layer by layer."""
    (config,) = [c for c in gpu.cases() if c.backbone == backbone and c.batch == 64]
    total = sum(work.flops for work in roofline.step_work(config, 2))
    assert total / 2e9 == pytest.approx(GFLOPS[backbone], rel=0.01)


def test_an_operation_reads_its_inputs_and_writes_its_output() -> None:
    """A float32 product of 2 x 3 and 3 x 4 has 48 operations and 4 x (6 + 12 + 8) bytes; a view none."""
    with Counter() as counter:
        torch.empty(2, 3, device="meta").view(3, 2)
        torch.mm(torch.empty(2, 3, device="meta"), torch.empty(3, 4, device="meta"))
    assert counter.found[-1] == Work(48, 104)
    assert [work.flops for work in counter.found[:-1]] == [0] * (len(counter.found) - 1)


def test_the_slower_of_arithmetic_and_memory_counts() -> None:
    """The peaks are 10 operations and 2 bytes per second."""
    assert (Work(40, 2).seconds((10, 2)), Work(40, 20).seconds((10, 2))) == (4, 10)


def test_peaks_are_of_a_product_and_a_copy() -> None:
    """On the test's clock, a product of two 4 x 4 arrays takes 2 s, and a copy of eight of them 1 s."""
    took = iter([2.0] * 10 + [1.0] * 10)
    assert roofline.peaks(lambda work: next(took), CPU, 4) == (2 * 4**3 / 2, 2 * 8 * 16 * 4)


@pytest.mark.parametrize(
    ("spans", "share"),
    [([(0, 4), (1, 2), (6, 8)], 0.25), ([(0, 1), (1, 2)], 0.0), ([], 0.0), ([(5, 6), (0, 1)], 4 / 6)],
)
def test_idle_is_what_no_kernel_covers(spans: list[tuple[float, float]], share: float) -> None:
    """Kernels may be in any order, and may overlap."""
    assert gpu.gaps(spans) == pytest.approx(share)


def test_ours_and_the_peer_make_steps() -> None:
    """The same code runs on a CPU with small networks."""
    (config,) = [c for c in gpu.cases() if c.backbone == "mobilenetv1"]
    small = dataclasses.replace(config, width=1 / 16, batch=2, clip_s=1)
    ours, peer_s = gpu.our_step(small, 1, CPU), gpu.peer_step(small, 1, CPU)
    rows = gpu.rows_of(small, ours, peer_s, (790e12, 4.3e12))
    assert [row.case.partition(": ")[2] for row in rows] == ["", "idle", "share of the roofline", "MFU"]
    assert all(row.ours is not None and row.ours >= 0 for row in rows)


def test_a_step_can_be_measured_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The requested mode is used; here without generating code, which takes half a minute."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # no compiler can take the tests' look at shapes
    (config,) = [c for c in gpu.cases() if c.backbone == "mobilenetv1"]
    small = dataclasses.replace(config, backbone="cnn6", width=1 / 32, batch=2, clip_s=1)
    calls: list[dict[str, object]] = []
    graphs: list[torch.fx.GraphModule] = []

    def as_it_is(graph: torch.fx.GraphModule, inputs: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    def compile_(network: torch.nn.Module, **options: object) -> None:
        calls.append(options)
        compiled = torch.compile(network._call_impl, backend=as_it_is, dynamic=False)
        monkeypatch.setattr(network, "_compiled_call_impl", compiled)

    monkeypatch.setattr(torch.nn.Module, "compile", compile_)
    flags = argparse.Namespace(compile="reduce-overhead", steps=1)
    row = gpu.compiled(small, gpu.Step(1.0, 0.0, 0.0), flags, CPU)
    assert row.ours is not None
    assert row.ratio == 1000 / row.ours > 0
    assert calls == [{"mode": "reduce-overhead", "dynamic": False}]
    assert graphs


def test_a_network_that_cannot_be_compiled_costs_its_own_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The row has the reason."""

    def compile_(network: torch.nn.Module, **options: object) -> None:
        raise RuntimeError("no kernel\nand a long story")

    monkeypatch.setattr(torch.nn.Module, "compile", compile_)
    (config,) = [c for c in gpu.cases() if c.backbone == "mobilenetv1"]
    small = dataclasses.replace(config, width=1 / 16, batch=2, clip_s=1)
    row = gpu.compiled(small, gpu.Step(1.0, 0.0, 0.0), argparse.Namespace(compile="default", steps=1), CPU)
    assert (row.ours, row.note) == (None, "not measured: no kernel")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_made_up(tmp_path: Path) -> None:
    """Every trial has a row that says that it was not measured."""
    gpu.main(["--json", str(tmp_path / "gpu.json")])
    rows = json.loads((tmp_path / "gpu.json").read_text())["rows"]
    assert len(rows) == 10 + 18
    assert len({row["case"] for row in rows}) == len(rows)
    assert all(row["ours"] is None and row["note"] == "not measured: no GPU" for row in rows)
