"""The use of the machine in an epoch, under the names that MLflow shows as system metrics."""

from __future__ import annotations

import time
from contextlib import suppress

import torch

PREFIX = "system/"
MEASURED = (
    "epoch_s",
    "ended_unix_s",
    PREFIX,
)  # prefixes of those numbers of an epoch that another attempt does not reproduce
MEGABYTE = 1e6


class Meter:
    """Measures the machine and this process from its construction on; it takes less than 1 ms per epoch on a CPU.

    If psutil or NVIDIA's library is missing, as on a bare GPU machine, their numbers are left out.
    """

    def __init__(self) -> None:
        self._began_us = int(time.time() * 1e6)
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        _machine()  # psutil measures the use of the processors between two calls

    def read(self) -> dict[str, float]:
        """The numbers since construction."""
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu
        numbers = {"process_cpu_percentage": 100 * cpu_s / max(wall_s, 1e-9), **_machine()}
        if torch.cuda.is_available():
            for number in range(torch.cuda.device_count()):
                numbers |= {f"gpu_{number}_{name}": value for name, value in _gpu(number, self._began_us).items()}
        return {PREFIX + name: value for name, value in numbers.items()}


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
    """The numbers of one GPU of this process; its use is the mean of the driver's samples since `since_us`."""
    free, total = torch.cuda.mem_get_info(number)
    numbers = {
        "memory_usage_megabytes": (total - free) / MEGABYTE,
        "memory_usage_percentage": 100 * (total - free) / total,
        "process_peak_memory_megabytes": torch.cuda.max_memory_allocated(number) / MEGABYTE,
    }
    with suppress(ImportError):
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            # The GPU is found by its UUID, because a process may see only some of the GPUs and counts them from 0.
            device = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(number).uuid}")
            _, samples = pynvml.nvmlDeviceGetSamples(device, pynvml.NVML_GPU_UTILIZATION_SAMPLES, since_us)
            if busy := [sample.sampleValue.uiVal for sample in samples]:
                numbers["utilization_percentage"] = sum(busy) / len(busy)
    return numbers
