"""The Ray cluster: joins an existing one or starts one on this machine, and describes its resources."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from datasets.engine.refusal import Refusal
from sweeps.engine.code import LAUNCHED
from sweeps.engine.forecast.placement import Nodes
from sweeps.engine.running.own_ray import OwnRay, RayError
from trainable.device import memory
from trainable.result.provenance import environment

ROOT = Path(__file__).resolve().parents[3]
# For Ray, before it is loaded: no usage report, no log files or tables of Tune's, and our own way to stop.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1e9",  # Tune's state of all trials, which nobody reads
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
SHIPPED = ("datasets", "trainable", "sweeps", "benchmarks")  # the packages whose code workers may import
CODE = (".py", ".json")
JOIN_S = 60.0  # the wait for a cluster's workers to join; later ones are used too, but not planned for
ANSWERS_S = 120.0  # the wait for a node to report its environment
REACHED_S = 10.0  # the wait for a cluster at an address to answer
GCS_S = 30.0  # the silence after which a cluster's head counts as lost; Ray itself ends this process after 60
LOOK_S = 2.0  # the time between two checks that Ray is still there
TRIES = 3  # attempts to start Ray

_own: OwnRay | None = None  # the Ray that this process has started
_keeps = 0  # the number of `kept` blocks that this process is in
_silent_since: float | None = None  # when the head of a joined cluster stopped answering


class WrongEnvironment(Refusal, RuntimeError):
    """A node whose interpreter or packages differ from the driver's."""


def begin(nice: int = 0) -> None:
    """Starts a Ray of this machine's own in the background, if trials will run on it.

    Args:
        nice: the niceness of its workers.
    """
    global _own
    if is_own() and _own is None and not is_joined():
        _own = OwnRay(nice)


def join(say: Callable[[str], None] = print) -> None:
    """Joins the cluster of this machine, or starts one. Workers import a snapshot of the present code.

    Args:
        say: called with a message if a wait is long.

    Raises:
        RayError: if Ray does not start here in several attempts, or does not answer at its address.
    """
    global _own
    os.environ |= QUIET
    begin()
    if is_joined():
        return
    import ray

    for left in reversed(range(TRIES)):
        try:
            _connect(ray, _own.wait(say) if _own else _reached())
            break
        except RayError as error:
            if _own is None:
                raise
            nice = _own.nice
            _own.end()
            _own = None
            if not left:
                remedy = "start again when the machine is less busy; nothing is lost"
                raise RayError(f"Ray does not start on this machine: {error}; {remedy}") from None
            say(f"Ray did not start: {error}; trying again")
            begin(nice)
    _wait_for_workers(ray)


def _connect(ray: Any, address: str) -> None:
    variables = {**memory.environment(), "SOUNDINGS_ENVIRONMENT": json.dumps(environment())}
    stop = signal.getsignal(signal.SIGTERM)
    try:
        with tempfile.TemporaryDirectory() as folder:
            shipped = {"working_dir": str(snapshot(ROOT, Path(folder) / "code")), "env_vars": variables}
            ray.init(address, log_to_driver=False, logging_level="ERROR", runtime_env=shipped)
    except Exception as error:  # whatever Ray raises, it is unusable
        ray.shutdown()
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RayError(reason if _own else f"RAY_ADDRESS={address}: cannot be joined ({reason})") from error
    finally:
        signal.signal(signal.SIGTERM, stop)  # Ray installs its own handler, which silently exits with 15


def snapshot(root: Path, folder: Path) -> Path:
    """Copies the code that workers may import and the list of locked packages, but no data beside them."""

    def copy(package: Path, to: Path) -> None:
        to.mkdir(parents=True)
        for path in package.iterdir():
            if path.suffix in CODE and path.is_file():
                shutil.copy(path, to)
            elif (path / "__init__.py").is_file():
                copy(path, to / path.name)

    for name in SHIPPED:
        copy(root / name, folder / name)
    shutil.copy(root / "requirements.txt", folder)
    return folder


def _reached() -> str:
    """The address of the cluster, once it answers: for a missing one, Ray would wait for minutes and say little."""
    from ray.util import get_node_ip_address

    address = _address()
    asked = re.sub(r"^(localhost|127\.0\.0\.1):", f"{get_node_ip_address()}:", address)  # as Ray does
    if address != "auto" and "://" not in address and not _listens(asked, REACHED_S):
        remedy = "start the cluster, or unset RAY_ADDRESS to run on this machine"
        raise RayError(f"RAY_ADDRESS={address}: nothing answers there; {remedy}")
    return address


def _wait_for_workers(ray: Any) -> None:
    """Waits for one's own machines: `ray up` returns before they have joined, and no file has their resources."""
    expected = 1 + len((_launched().get("provider") or {}).get("worker_ips") or [])
    end = time.monotonic() + JOIN_S
    while sum(node["Alive"] for node in ray.nodes()) < expected and time.monotonic() < end:
        time.sleep(1)


def is_joined() -> bool:
    """Whether this process has joined a cluster."""
    if "ray" not in sys.modules:
        return False
    import ray

    return bool(ray.is_initialized())


def here() -> Any:
    """The scheduling strategy for a task that needs the files of this machine."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)


def is_own() -> bool:
    """Whether `join` starts a Ray on this machine alone."""
    return _address() == "local"


def _address() -> str:
    # Without a launcher's file, a running Ray belongs to another sweep, and would end this one with itself.
    return os.environ.get("RAY_ADDRESS", "auto" if LAUNCHED.exists() else "local")


@contextmanager
def kept() -> Iterator[None]:
    """Keeps a cluster joined until the end of this block, however often it is joined and left inside."""
    global _keeps
    _keeps += 1
    try:
        yield
    finally:
        _keeps -= 1
        leave()


def leave() -> None:
    """Leaves the cluster, or ends the one that `begin` started."""
    global _own
    if _keeps:
        return
    if "ray" in sys.modules:
        import ray

        # Ray ends its core first and forgets it afterwards. If another thread (the store's, still writing) frees a
        # reference in between, Ray takes that for a call of the ended core, and silently ends this process with 1.
        gc.collect()
        gc.disable()
        try:
            ray.shutdown()
        finally:
            gc.enable()
    if _own:
        _own.end()
        _own = None


@contextmanager
def watched(lost: Callable[[str], None]) -> Iterator[None]:
    """Watches in a thread, during this block, that Ray is still there: otherwise Ray's calls and Tune wait for ever.

    Args:
        lost: called in that thread, with the reason, once Ray is gone. It must end this process: none of Ray's calls
            returns, not even its shutdown, and after a minute Ray ends the process with 1, saying little.
    """
    over = threading.Event()
    threading.Thread(target=_watch, args=(lost, over), name="watch", daemon=True).start()
    try:
        yield
    except Exception:
        if loss():
            over.wait()  # the loss is the cause; the thread reports it and ends this process
        raise
    finally:
        over.set()


def _watch(lost: Callable[[str], None], over: threading.Event) -> None:
    while not over.wait(LOOK_S):
        if reason := loss():
            lost(reason)
            return


def loss() -> str:
    """A description of what has been lost of Ray; empty while nothing has."""
    global _silent_since
    if _own:
        return _own.died
    import ray

    context = ray.get_runtime_context()
    if not _listens(context.gcs_address):  # asking Ray would wait for it
        _silent_since = _silent_since or time.monotonic()
        silent_s = time.monotonic() - _silent_since
        return f"the cluster's head ({context.gcs_address}) has not answered for {silent_s:.0f} s" * (silent_s > GCS_S)
    _silent_since = None
    alive = any(node["Alive"] for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    return "" if alive else "Ray's own process on this machine (its raylet) has died"


def abandon() -> None:
    """Ends the processes of a Ray that was lost."""
    if _own:
        _own.end()


def _listens(address: str, timeout_s: float = 1.0) -> bool:
    """Whether an address accepts connections."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
    except (OSError, ValueError, OverflowError):  # the last two are for ports that cannot exist
        return False
    return True


def capacity() -> dict[str, float]:
    """The amount of each resource in the cluster, counting the nodes by which it may still grow."""
    import ray

    current = ray.cluster_resources()
    if launched := _launched():
        grown = full_size(launched)
    else:  # on Kubernetes only Ray's autoscaler knows the file
        grown = dict(ray._private.state.state.get_max_resources_from_cluster_config() or {})
    return {name: max(current.get(name, 0), grown.get(name, 0)) for name in {*current, *grown}}


def _launched() -> dict[str, Any]:
    """The cluster's own file, on a head made by Ray's launcher; empty elsewhere."""
    return (yaml.safe_load(LAUNCHED.read_text()) or {}) if LAUNCHED.exists() else {}


def full_size(launched: dict[str, Any]) -> dict[str, float]:
    """The resources of a cluster with all nodes of its file started."""
    total: dict[str, float] = {}
    for name, kind in (launched.get("available_node_types") or {}).items():
        nodes = 1 if name == launched.get("head_node_type") else kind.get("max_workers", launched.get("max_workers", 0))
        for resource, amount in (kind.get("resources") or {}).items():
            total[resource] = total.get(resource, 0) + nodes * amount
    return total


def nodes() -> Nodes:
    """The nodes that exist or may be started."""
    import ray

    kinds = [kind.get("resources") or {} for kind in (_launched().get("available_node_types") or {}).values()]
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    memory_gb = max((resources.get("memory", 0) / 1e9 for resources in [*kinds, *alive]), default=0)
    most_gpus = max((resources.get("GPU", 0) for resources in [*kinds, *alive]), default=0)
    return Nodes(memory_gb, capacity().get("GPU", 0), most_gpus)


def check_nodes() -> None:
    """Compares the interpreter and packages of every node with those of this process, before anything runs there.

    Raises:
        WrongEnvironment: names each node that differs, and how.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    own_node = ray.get_runtime_context().get_node_id()
    ask = ray.remote(num_cpus=0, max_retries=0)(_answer)
    asked: dict[Any, Any] = {
        ask.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(): node
        for node in ray.nodes()
        if node["Alive"] and node["NodeID"] != own_node
    }
    wrong = []
    for answer, node in asked.items():
        with suppress(ray.exceptions.RayError):  # the node is lost; if it comes back, trials check it
            answered: Mapping[str, str] = ray.get(answer, timeout=ANSWERS_S)
            if differs := differences(answered, environment()):
                wrong.append(f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']}): {differs}")
    if wrong:
        raise WrongEnvironment(_refusal(wrong))


def _answer() -> dict[str, str]:
    return environment()


def check_this_node() -> None:
    """Checks a worker's own node, which may have joined later; once per process.

    Raises:
        WrongEnvironment: if this node differs from the driver's.
    """
    expected = json.loads(os.environ.pop("SOUNDINGS_ENVIRONMENT", "{}"))
    if expected and (differs := differences(environment(), expected)):
        os.environ["SOUNDINGS_ENVIRONMENT"] = json.dumps(expected)  # the next trial here is refused too
        raise WrongEnvironment(_refusal([f"{socket.gethostname()}: {differs}"]))


def differences(actual: Mapping[str, str], expected: Mapping[str, str]) -> str:
    """The differences from what is expected, in words; empty if there are none."""
    names = [name for name in {**expected, **actual} if actual.get(name) != expected.get(name)]
    return ", ".join(f"{n} {actual.get(n, 'missing')} instead of {expected.get(n, 'none')}" for n in names)


def _refusal(nodes: list[str]) -> str:
    remedy = "set them up again (ray up CLUSTER.yaml installs requirements.txt), or remove them from the cluster"
    return "\n  ".join([f"nodes have other versions than the driver; {remedy}:", *nodes])


def node_id() -> str:
    """Ray's id for the node that this worker runs on."""
    import ray

    return str(ray.get_runtime_context().get_node_id())
