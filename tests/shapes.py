"""Shapes in signatures are checked while tests run: a `Float[Tensor, "batch samples"]` that is something else raises.

Every function, method and dataclass of our folders whose annotations hold a shape is wrapped by jaxtyping, with
beartype as what looks at values; other annotations are left to mypy. jaxtyping's own import hook would find no shape:
they are imported for types alone, because a node of a cluster has no jaxtyping, so no name of theirs is there when a
module runs. Nor may a test bring them into a module, where they would hide that a user misses one. So they are read
beside it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, get_args

from beartype import beartype
from jaxtyping import AbstractArray, jaxtyped

PACKAGES = ("datasets", "trainable", "analysis")


def check_shapes() -> None:
    """Checks, from now on and in this process, the modules of ours that are imported later."""
    early = [name for name in PACKAGES if name in sys.modules]
    assert not early, f"{early} were imported before their shapes could be checked"
    sys.meta_path.insert(0, Checked())


class Checked(MetaPathFinder):
    """Finds our modules that have shapes."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """None for all others."""
        spec = PathFinder.find_spec(name, path, target) if name.partition(".")[0] in PACKAGES else None
        if spec is None or spec.loader is None or not (spec.origin or "").endswith(".py"):
            return None
        source = Path(str(spec.origin)).read_text(encoding="utf-8")
        if "from jaxtyping import" not in source:
            return None
        load = spec.loader.exec_module

        def load_and_check(module: ModuleType) -> None:
            load(module)
            names = {**vars(module), **for_types(source, vars(module))}
            for name, found in list(vars(module).items()):
                setattr(module, name, checked(found, module.__name__, names))

        spec.loader.exec_module = load_and_check  # type: ignore[method-assign]
        return spec


def for_types(source: str, known: dict[str, Any]) -> dict[str, Any]:
    """What a module imports from other projects for types alone, and the shapes that it names there."""
    found: dict[str, Any] = {}
    for block in ast.parse(source).body:
        if not isinstance(block, ast.If) or ast.unparse(block.test) != "TYPE_CHECKING":
            continue
        for node in block.body:
            if isinstance(node, ast.ImportFrom) and node.module in ("jaxtyping", "torch"):
                module = importlib.import_module(node.module)
                found |= {alias.name: getattr(module, alias.name) for alias in node.names}
            elif isinstance(node, ast.Import) and node.names[0].name in ("numpy", "torch"):
                found[node.names[0].asname or node.names[0].name] = importlib.import_module(node.names[0].name)
            elif isinstance(node, ast.Assign):
                found[ast.unparse(node.targets[0])] = eval(ast.unparse(node.value), {**known, **found})
    return found


def checked(found: Any, module: str, names: dict[str, Any]) -> Any:
    """A function, or a class with its members, that a module defines, with shapes checked.

    Args:
        names: what annotations may be written with.
    """
    if isinstance(found, type) and found.__module__ == module:
        for name, member in list(vars(found).items()):
            if isinstance(member, FunctionType | classmethod | staticmethod | property):
                setattr(found, name, checked(member, module, names))
        return found
    function = getattr(found, "__func__", getattr(found, "fget", found))
    if not isinstance(function, FunctionType) or function.__module__ != module:
        return found
    plain = inspect.unwrap(function)  # whose annotations those of a wrapper by torch are
    hints = {name: shape(said, names) for name, said in plain.__annotations__.items()}
    if all(hint is Any for hint in hints.values()):
        return found
    plain.__annotations__ = hints
    return jaxtyped(found, typechecker=beartype)


def shape(said: Any, names: dict[str, Any]) -> Any:
    """An annotation that holds a shape; `Any` for what holds none.

    Raises:
        NameError: if it holds one, but its names are not all known.
    """
    try:
        hint = eval(said, names) if isinstance(said, str) else said
    except NameError:
        arrays = [name for name, value in names.items() if getattr(value, "__module__", "") == "jaxtyping"]
        if any(f"{name}[" in said for name in arrays):
            raise
        return Any
    return hint if has_shape(hint) else Any


def has_shape(hint: Any) -> bool:
    """Whether a type is an array of jaxtyping's, or made of some."""
    return (isinstance(hint, type) and issubclass(hint, AbstractArray)) or any(map(has_shape, get_args(hint)))
