"""The modules of ours that a trial's numbers depend on, and a hash of their contents.

They are found by reading the files, without running them: the modules that `roots` names for the trial, and everything
that those import from datasets/ and trainable/, even inside functions. Other backbones and corpora, the synthetic ones,
the cost model and the commands that check data therefore count only for the trials that need them. Imports for type
checkers do not count.

The contents of a module are its syntax tree without docstrings: comments, docstrings, the layout of the text and code
under `if TYPE_CHECKING:` change no number. Trees are written out by `_said`, because `ast.dump` and `ast.unparse` write
the same tree differently in Python 3.11, 3.12 and 3.13. If two Pythons still read a line as different trees, tables
refuse to mix their trials anyway, because their versions differ.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sweeps.engine.code import ROOT
from trainable.config import TrialConfig
from trainable.network.card import family

FOLDERS = ("datasets", "trainable")  # the folders of our code that can change a number
DIGITS = 8  # of a module's hash; 40 modules then take 1,500 of the 5,000 characters of a tag
MAX_NAMED = 5


def roots(config: TrialConfig) -> tuple[str, ...]:
    """The modules that a trial starts from: its loop, and those named by its config instead of an import statement."""
    parts = dict.fromkeys(type(part).__module__ for part in (*config.parts, config.given))
    return ("trainable.trial", f"trainable.backbones.{family(config.backbone)}", f"datasets.{config.corpus}", *parts)


@dataclass(frozen=True)
class Code:
    """The code behind a trial's numbers."""

    sha256: str
    modules: Mapping[str, str]  # file -> the first digits of the SHA-256 of its contents

    @property
    def tags(self) -> dict[str, str]:
        """The tags for a run and its record."""
        modules = " ".join(f"{file}:{digits}" for file, digits in self.modules.items())
        return {"code_sha256": self.sha256, "code_modules": modules}


class Source(NamedTuple):
    """A file that was read."""

    file: str  # its path from the root of the repository
    sha256: str  # of its contents; empty if there are none, as in most `__init__.py`
    imports: frozenset[str]  # our modules, and names that may be modules


Read = Callable[[str], Source | None]


def codes(trials: Iterable[TrialConfig], root: Path = ROOT) -> dict[str, Code]:
    """The code of each trial by its key, as the files are now.

    Each file is read once per call and parsed once per process, so that a further trial costs one dictionary look-up.

    Raises:
        ModuleNotFoundError: if a module that a config names does not exist.
        SyntaxError: if a file is not valid Python.
    """
    read: Read = functools.cache(functools.partial(_read, root))
    code_of = functools.cache(functools.partial(_code, read))
    return {trial.key: code_of(roots(trial)) for trial in trials}


def modules_of(tags: Mapping[str, str]) -> dict[str, str]:
    """The modules that a run names, with both hashes if it began with one and was resumed with another.

    Empty if it names none, or more than fit in its tag.
    """
    words = " ".join(tags.get(name, "") for name in ("code_modules", "code_modules_resumed")).split()
    if not all(re.fullmatch(rf"[^:]+:[0-9a-f]{{{DIGITS}}}", word) for word in words):  # a tag was cut off
        return {}
    digits_of: dict[str, dict[str, None]] = defaultdict(dict)
    for file, _, digits in (word.partition(":") for word in words):
        digits_of[file][digits] = None
    return {file: " then ".join(digits) for file, digits in digits_of.items()}


def differing(first: Mapping[str, str], other: Mapping[str, str]) -> list[str] | None:
    """The files that two trials share but with different contents; None if the modules of either are unknown.

    A file that only one of them uses, such as its backbone's, is not a difference.
    """
    if not first or not other:
        return None
    return sorted(file for file in first.keys() & other.keys() if first[file] != other[file])


def named(files: Sequence[str] | None) -> str:
    """The files that differ, in brackets; empty if they are unknown."""
    if not files:
        return ""
    names = ", ".join(files[:MAX_NAMED]) + f" and {len(files) - MAX_NAMED} more" * (len(files) > MAX_NAMED)
    return f" ({names} differ{'s' * (len(files) == 1)})"


def _code(read: Read, start: tuple[str, ...]) -> Code:
    sources: dict[str, Source | None] = {}
    waiting = [*start]
    while waiting:
        if (name := waiting.pop()) not in sources:
            sources[name] = source = read(name)
            waiting += source.imports if source else ()
    if missing := [name for name in start if not sources[name]]:
        raise ModuleNotFoundError(f"there is no module {missing[0]}", name=missing[0])
    hashes = {source.file: source.sha256 for source in sources.values() if source and source.sha256}
    modules = dict(sorted(hashes.items()))
    lines = "".join(f"{file} {sha256}\n" for file, sha256 in modules.items())
    short = {file: sha256[:DIGITS] for file, sha256 in modules.items()}
    return Code(hashlib.sha256(lines.encode()).hexdigest(), short)


def _read(root: Path, name: str) -> Source | None:
    """The file of a module or a package; None if the name belongs to something inside a module."""
    path = name.replace(".", "/")
    for file in (f"{path}/__init__.py", f"{path}.py"):
        if (root / file).is_file():
            return Source(file, *_parsed((root / file).read_bytes(), file))
    return None


@functools.cache
def _parsed(content: bytes, file: str) -> tuple[str, frozenset[str]]:
    tree = _Bare().visit(ast.parse(content, file))
    names = {name for node in ast.walk(tree) for name in _imported(node) if name.partition(".")[0] in FOLDERS}
    packages = {name[: dot.start()] for name in names for dot in re.finditer(r"\.", name)}
    sha256 = hashlib.sha256(_said(tree).encode()).hexdigest() if tree.body else ""
    return sha256, frozenset(names | packages)


class _Bare(ast.NodeTransformer):
    """Removes the parts of a tree that change no number."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Removes docstrings, and other text that nothing reads."""
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Removes code that only type checkers see."""
        node = self.generic_visit(node)  # type: ignore[assignment]
        return node.orelse if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING") else node


def _imported(node: ast.AST) -> Iterable[str]:
    """The names in an import statement; no file here has relative ones."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _said(node: object) -> str:
    """A syntax tree as text, without positions, and without empty fields, which vary between versions of Python."""
    if isinstance(node, ast.AST):
        fields = (
            f"{name}={_said(value)}" for name, value in ast.iter_fields(node) if value is not None and value != []
        )
        return f"{type(node).__name__}({', '.join(fields)})"
    return f"[{', '.join(map(_said, node))}]" if isinstance(node, list) else repr(node)
