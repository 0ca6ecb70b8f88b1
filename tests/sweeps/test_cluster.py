"""A cluster before anything runs on it: its size, the packages of its nodes, and its copy of the code."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.engine import code
from sweeps.engine.code import StaleMount, check_mount
from sweeps.engine.running import cluster
from sweeps.engine.running.cluster import ROOT, WrongEnvironment, check_this_node, differences, full_size
from trainable.result.provenance import environment

LAUNCHED = {
    "max_workers": 10,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0, "memory": 8e9}, "max_workers": 0},
        "gpu": {"resources": {"CPU": 8, "GPU": 1}, "max_workers": 4},
        "big": {"resources": {"CPU": 64, "GPU": 8}},
    },
}


def test_a_cluster_counts_as_large_as_it_may_grow() -> None:
    """Workers that are not started yet count as room for trials; otherwise it would never grow."""
    assert full_size(LAUNCHED) == {"CPU": 4 * 8 + 10 * 64, "GPU": 4 + 80, "memory": 8e9}
    assert full_size({}) == {}


def test_the_environment_is_what_the_lock_file_pins() -> None:
    """It has the interpreter and every installed pinned package, with its version."""
    here = environment()
    assert {"python", "torch", "numpy", "ray", "mlflow"} <= set(here)
    assert all(here.values())


def test_differences_are_named() -> None:
    """Another version, a missing and a superfluous package are named; equal ones are not."""
    assert differences({"torch": "2.14.1"}, {"torch": "2.14.1"}) == ""
    words = differences({"torch": "2.15.0", "extra": "1"}, {"torch": "2.14.1", "timm": "1.0"})
    assert words == "torch 2.15.0 instead of 2.14.1, timm missing instead of 1.0, extra 1 instead of none"


def test_a_worker_on_another_environment_refuses_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the node's name and the remedy; a worker like the driver accepts trials."""
    monkeypatch.setenv("SOUNDINGS_ENVIRONMENT", json.dumps({**environment(), "torch": "2.15.0"}))
    for _ in range(2):
        with pytest.raises(WrongEnvironment, match=rf"(?s)ray up.*{os.uname().nodename}: torch .* instead of 2.15.0$"):
            check_this_node()
    monkeypatch.setenv("SOUNDINGS_ENVIRONMENT", json.dumps(environment()))
    check_this_node()
    monkeypatch.delenv("SOUNDINGS_ENVIRONMENT", raising=False)
    check_this_node()


@pytest.fixture
def head(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a cluster's head: a mounted repository, and the file of Ray's launcher."""
    (tmp_path / "soundings" / "sweeps").mkdir(parents=True)
    (tmp_path / "soundings" / "sweeps" / "toy.py").write_text("BASE = 1\n")
    (tmp_path / "ray_bootstrap_config.yaml").touch()
    monkeypatch.setattr(code, "ROOT", tmp_path / "soundings")
    monkeypatch.setattr(code, "LAUNCHED", tmp_path / "ray_bootstrap_config.yaml")
    return tmp_path


def test_a_submitted_study_must_be_the_mounted_one(head: Path) -> None:
    """The copy in the home folder and the original pass; one that has been edited is refused, with the command."""
    copy = head / "toy.py"
    copy.write_text("BASE = 1\n")
    check_mount(str(copy))
    check_mount(str(head / "soundings" / "sweeps" / "toy.py"))
    copy.write_text("BASE = 2\n")
    with pytest.raises(StaleMount, match=r"(?s)has another .*toy.py.*ray up --no-restart"):
        check_mount(str(copy))


def test_a_study_that_the_cluster_has_never_seen_is_refused(head: Path) -> None:
    """Its other files would be missing too."""
    (head / "new.py").write_text("BASE = 1\n")
    with pytest.raises(StaleMount, match=r"(?s)has no .*new.py.*ray up --no-restart"):
        check_mount(str(head / "new.py"))


def test_where_there_is_no_cluster_a_study_may_lie_anywhere(head: Path) -> None:
    """On a laptop, a user's own study may be outside the repository."""
    code.LAUNCHED.unlink()
    check_mount(str(head / "mine.py"))
    check_mount(None)


def test_a_cluster_that_is_not_named_is_not_joined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A running Ray may be another sweep's; a cluster is joined on its head, or by its address."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(cluster, "LAUNCHED", tmp_path / "ray_bootstrap_config.yaml")
    assert cluster.is_own()
    cluster.LAUNCHED.touch()
    assert not cluster.is_own()
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert not cluster.is_own()


def output_of(program: str, *words: str) -> str:
    """The output of a program that starts a Ray of its own and succeeds."""
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={**os.environ, "RAY_ADDRESS": "local"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


COLLECTS = """
import gc, threading
from sweeps.engine.running import cluster

class Ring:  # freed by the garbage collector alone
    def __init__(self, ref):
        self.ring, self.ref = self, ref

def drop():
    while rings and not over.wait(0.0005):
        rings.pop()
        [[] for _ in range(1000)]  # enough for the collector to come by

cluster.join()
import ray
gc.disable()
rings, over = [Ring(ray.put(i)) for i in range(10_000)], threading.Event()
gc.enable()
thread = threading.Thread(target=drop)
thread.start()
cluster.leave()
over.set()
thread.join()
print(f"{len(rings)} of 10000 left, collecting again: {gc.isenabled()}")
"""


@pytest.mark.slow
def test_leaving_survives_references_that_another_thread_collects() -> None:
    told = output_of(COLLECTS)
    assert 0 < int(told.split()[0]) < 10_000  # the thread was at it all the while
    assert told.endswith("collecting again: True\n")


A_TRIAL = """
import sys
from pathlib import Path
from sweeps.engine.running import cluster

cluster.join()
import ray

@ray.remote
def trial(folder):
    from ray import tune
    from sweeps.engine.running import node, tuner
    from sweeps.recipes.mohammadi import RATES
    from trainable.device.place import Place

    resident, told = [], []

    def work(*given):
        for _ in range(2):
            steps = [bytearray(2**24) for _ in range(16)]
            for step in steps:
                step[::4096] = b"1" * len(step[::4096])
            del steps, step
            see()

    def see():
        resident.append(int(Path("/proc/self/statm").read_text().split()[1]) * 4096)

    node.run, tune.report = work, told.append
    config = RATES.but(
        corpus="deepship", backbone="cnn14", pretrain_hz=8_000, data_hz=8_000, augment="none", seed=1
    )
    tuner.execute({"trial": config, "place": Place(folder, folder, None, folder), "needs": None})
    see()
    return told, "glibc.malloc.mmap_max=0" in Path("/proc/self/environ").read_text(), resident

told, has_settings, (first, second, after) = ray.get(trial.remote(Path(sys.argv[1])))
print(told, has_settings, second - first, second - after)
cluster.leave()
"""


@pytest.mark.ray
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of GNU's C library")
def test_a_worker_keeps_memory_between_steps_and_gives_it_back_after_a_trial(tmp_path: Path) -> None:
    """Two steps of 256 MB: the second takes what the first has freed, and the end of the trial returns it."""
    told, more, given_back = output_of(A_TRIAL, str(tmp_path)).rsplit(maxsplit=2)
    assert told == "[{'event': 'ready'}, {'event': 'finished'}] True"
    assert int(more) < 2**24
    assert int(given_back) > 0.9 * 2**28
