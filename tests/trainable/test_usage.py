"""The usage of an epoch separates this process from the machine, and leaves out what cannot be measured."""

from __future__ import annotations

import sys
import time

import pytest

from trainable.result.usage import PREFIX, Meter


def busy(seconds: float) -> None:
    """Keeps a processor busy."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_process_that_works_and_one_that_waits_are_told_apart() -> None:
    """Processor time counts, not elapsed time."""
    meter = Meter()
    time.sleep(0.3)
    waited = meter.read()[f"{PREFIX}process_cpu_percentage"]
    meter = Meter()
    busy(0.3)
    worked = meter.read()
    assert waited < 30 < worked[f"{PREFIX}process_cpu_percentage"] + 20
    assert worked[f"{PREFIX}process_cpu_percentage"] > waited
    assert 0 < worked[f"{PREFIX}cpu_utilization_percentage"] <= 100


def test_memory_is_in_megabytes() -> None:
    """Additional memory of the process is measured to within a tenth."""
    before = Meter().read()[f"{PREFIX}process_memory_megabytes"]
    block = bytearray(200_000_000)
    block[::4096] = b"x" * len(block[::4096])  # touches every page, or the system would not allocate them
    after = Meter().read()
    assert after[f"{PREFIX}process_memory_megabytes"] - before == pytest.approx(200, rel=0.1)
    assert after[f"{PREFIX}system_memory_usage_megabytes"] > 200


def test_without_psutil_its_numbers_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare GPU machine can train anyway."""
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert [name for name in Meter().read() if "gpu" not in name] == [f"{PREFIX}process_cpu_percentage"]


def test_it_takes_next_to_no_time() -> None:
    """The epochs of the shortest trials take a hundred times as long."""
    Meter().read()  # loads psutil
    began = time.process_time()
    for _ in range(50):
        Meter().read()
    assert (time.process_time() - began) / 50 < 0.005
