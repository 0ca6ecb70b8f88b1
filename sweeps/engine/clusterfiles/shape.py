"""The kinds of values in a cluster's file, checked before Ray reads it, because Ray's own errors are not for users.

A shape is the type of a scalar (`float` is any number), `[shape]` for a list, or a mapping from keys to shapes; `...`
means every other key, and a key that ends in `!` is required.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from sweeps.engine.clusterfiles.text import problem

MOST_VALUES = 100_000  # in a file, with its aliases expanded
MOST_SHOWN = 60
KINDS = {str: "text", int: "a whole number", float: "a number"}

Shape = Mapping[Any, Any]
NODE: Shape = {"MetadataOptions": {}, "BlockDeviceMappings": [{"Ebs": {}}]}
COMMANDS: Shape = {
    f"{part}_commands": [str]
    for part in ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
}
LAUNCHER: Shape = {
    "provider!": {"type!": str},
    "auth": {},
    "max_workers": int,
    "idle_timeout_minutes": float,
    "available_node_types": {...: {"node_config!": NODE, "resources": {...: float}, "max_workers": int, **COMMANDS}},
    "head_node_type": str,
    "file_mounts": {...: str},
    **COMMANDS,
}
CONTAINER: Shape = {"name!": str, "image": str, "securityContext": {}, "env": [{"name!": str}]}
POD: Shape = {
    "template!": {
        "spec!": {
            "nodeSelector": {...: str},
            "securityContext": {},
            "volumes": [{}],
            "initContainers": [CONTAINER],
            "containers!": [CONTAINER],
        }
    }
}
RAY_CLUSTER: Shape = {
    "metadata!": {"name!": str},
    "spec!": {
        "autoscalerOptions": {"idleTimeoutSeconds": float},
        "authOptions": {},
        "headGroupSpec!": {"rayStartParams": {...: str}, **POD},
        "workerGroupSpecs!": [{"groupName!": str, **POD}],
    },
}
NETWORK_POLICY: Shape = {"spec!": {"policyTypes": [str], "ingress": [{"from": [{}]}]}}


def misshapen(value: Any, shape: Any, where: str = "") -> Iterator[str]:
    """Yields every place where a value is missing, or of another kind than its shape says."""
    kind = "a mapping" if isinstance(shape, dict) else "a list" if isinstance(shape, list) else KINDS[shape]
    if not _is(value, shape):
        remedy = f"must be {kind}; write one{', or leave it out' * (value is None)}"
        yield problem(where or "the file", f"{value!r:.{MOST_SHOWN}}", remedy)
    elif isinstance(shape, list):
        for number, item in enumerate(value):
            yield from misshapen(item, shape[0], f"{where}.{number}")
    elif isinstance(shape, dict):
        shapes = {str(key).removesuffix("!"): inner for key, inner in shape.items() if key is not ...}
        for key in (str(key).removesuffix("!") for key in shape if str(key).endswith("!")):
            if key not in value:
                yield problem(f"{where}.{key}".strip("."), "missing", "add it, as in the files in clusters/")
        for key, item in value.items():
            if (inner := shapes.get(key, shape.get(...)) if isinstance(key, str) else shape.get(...)) is not None:
                yield from misshapen(item, inner, f"{where}.{key}".strip("."))


def _is(value: Any, shape: Any) -> bool:
    if isinstance(value, bool):
        return False
    if shape is float:
        return isinstance(value, int | float)
    return isinstance(value, shape if isinstance(shape, type) else type(shape))


def knotted(text: str) -> Iterator[str]:
    """Yields keys that occur twice in a mapping, of which YAML takes the last, and cyclic or huge aliases."""
    sizes: dict[int, int] = {}
    twice: list[str] = []

    def size(node: yaml.Node) -> int:
        """The number of values below a node, with its aliases expanded."""
        if id(node) in sizes:
            return sizes[id(node)]
        sizes[id(node)] = MOST_VALUES  # until it is known, so that a cyclic alias counts as too large
        inner = node.value if isinstance(node, yaml.CollectionNode) else ()
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"):
                line = key.start_mark.line + 1
                if key.value in lines:
                    remedy = f"is on line {lines[key.value]} too; remove one"
                    twice.append(problem(f"line {line}", key.value, remedy))
                lines[key.value] = line
            inner = [part for pair in node.value for part in pair]
        sizes[id(node)] = 1 + sum(map(size, inner))
        return sizes[id(node)]

    documents = list(yaml.compose_all(text, yaml.SafeLoader))
    total = sum(size(node) for node in documents if node)
    yield from twice
    if total >= MOST_VALUES:
        yield problem("the file", "its aliases are cyclic, or stand for too many values", "write them out")
