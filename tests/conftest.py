"""The order of the tests: files that take minutes begin first, so that no worker is left alone with one at the end."""

from __future__ import annotations

import pytest

LONGEST_FIRST = (  # seconds of each, on two cores with three workers
    "sweeps/test_launch.py",  # 913
    "sweeps/test_searching.py",  # 450
    "cluster/test_on_hosts.py",  # 863
    "sweeps/test_chaos.py",  # 506
    "sweeps/test_kills.py",  # 418
    "trainable/test_parallel.py",  # 375
    "sweeps/test_outage.py",  # 323
    "sweeps/test_remote_kills.py",  # 281
    "benchmarks/test_overhead_benchmark.py",  # 212
    "sweeps/test_runs.py",  # 141
    "benchmarks/test_scale_benchmark.py",  # 105
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Takes the tests of the longest files to the front; within a file they keep their order."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}

    def place(item: pytest.Item) -> int:
        return places.get("/".join(item.path.parts[-2:]), len(places))

    items.sort(key=place)
