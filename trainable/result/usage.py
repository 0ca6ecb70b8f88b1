"""What an epoch took of its machine, under the names by which MLflow draws them as system metrics."""

from __future__ import annotations

import time
from contextlib import suppress

import torch

PREFIX = "system/"
MEASURED = ("epoch_s", "ended_unix_s", PREFIX)  # how an epoch's numbers begin that no attempt repeats
MEGABYTE = 1e6


class Meter:
    """Measures the machine and this process from its making on: below 1 ms for an epoch on a CPU.

    Where psutil or NVIDIA's library is missing, as on a bare GPU machine, their numbers are left out.
    """

    def __init__(self) -> None:
        self._began_us = int(time.time() * 1e6)
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        _machine()  # whose processors' share counts from one call to the next

    def read(self) -> dict[str, float]:
        """The numbers so far."""
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu
        found = {"process_cpu_percentage": 100 * cpu_s / max(wall_s, 1e-9), **_machine()}
        if torch.cuda.is_available():
            for number in range(torch.cuda.device_count()):
                found |= {f"gpu_{number}_{name}": value for name, value in _gpu(number, self._began_us).items()}
        return {PREFIX + name: value for name, value in found.items()}


def _machine() -> dict[str, float]:
    try:
        import psutil
    except ImportError:
        return {}
    memory = psutil.virtual_memory()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system_memory_usage_percentage": memory.percent,
        "process_memory_megabytes": psutil.Process().memory_info().rss / MEGABYTE,
    }


def _gpu(number: int, since_us: int) -> dict[str, float]:
    """One GPU of this process: the mean of the samples that its driver has kept since then."""
    free, total = torch.cuda.mem_get_info(number)
    found = {
        "memory_usage_megabytes": (total - free) / MEGABYTE,
        "memory_usage_percentage": 100 * (total - free) / total,
        "process_peak_memory_megabytes": torch.cuda.max_memory_allocated(number) / MEGABYTE,
    }
    with suppress(ImportError):
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            # By its UUID, because a process may see only some of the machine's GPUs, and counts those from 0.
            device = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(number).uuid}")
            _, samples = pynvml.nvmlDeviceGetSamples(device, pynvml.NVML_GPU_UTILIZATION_SAMPLES, since_us)
            if busy := [sample.sampleValue.uiVal for sample in samples]:
                found["utilization_percentage"] = sum(busy) / len(busy)
    return found
