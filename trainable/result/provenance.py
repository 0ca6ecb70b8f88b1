"""The provenance of a result: versions, device, threads and machine."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import socket
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("torch", "torchaudio", "timm", "numpy", "soxr", "soundfile", "ray", "mlflow")


def describe() -> dict[str, str]:
    """The provenance of results from the calling process."""
    import torch

    on_gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if on_gpu else f"CPU ({_cpu_name()})",
        "num_threads": str(torch.get_num_threads()),
        "hostname": socket.gethostname(),
        "versions": f"python {platform.python_version()}, "
        + ", ".join(f"{p} {_version(p)}" for p in PACKAGES if _version(p)),
    }


@functools.cache
def environment() -> dict[str, str]:
    """The version of the interpreter, and the installed version of every package that requirements.txt pins."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = [name for line in lines if (name := line.partition("==")[0]) != line and re.fullmatch(r"[\w.-]+", name)]
    return {"python": platform.python_version(), **{p: _version(p) for p in pinned if _version(p)}}


@functools.cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123 - not a file
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
