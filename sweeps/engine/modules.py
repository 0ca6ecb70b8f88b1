"""Which of our modules make a trial's numbers, and a hash of what they say.

They are found in the files, without running them: those that `roots` names for the trial, and whatever those import of
datasets/ and trainable/, also inside functions. So another backbone, another corpus, the synthetic ones, the cost model
and the commands that check data count only for the trials that need them. Imports for type checkers alone do not count.

What a module says is its syntax tree without docstrings: comments, docstrings, the form of the text and what stands
under `if TYPE_CHECKING:` make no number. Trees are written down by `_said`, because `ast.dump` and `ast.unparse` write
one tree differently in Python 3.11, 3.12 and 3.13. Should two Pythons still read a line as different trees, then tables
refuse their trials anyway: they have different versions.
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

FOLDERS = ("datasets", "trainable")  # of our own code, what can make a number
DIGITS = 8  # of a module's hash; 40 modules then take 1,500 of the 5,000 characters of a tag
MAX_NAMED = 5


def roots(config: TrialConfig) -> tuple[str, ...]:
    """The modules that a trial begins with: its loop, and those that no import statement names, but its config."""
    parts = dict.fromkeys(type(part).__module__ for part in (*config.parts, config.given))
    return ("trainable.trial", f"trainable.backbones.{family(config.backbone)}", f"datasets.{config.corpus}", *parts)


@dataclass(frozen=True)
class Code:
    """What makes a trial's numbers."""

    sha256: str
    modules: Mapping[str, str]  # file -> the first digits of the SHA-256 of what it says

    @property
    def tags(self) -> dict[str, str]:
        """As a run and its record keep it."""
        modules = " ".join(f"{file}:{digits}" for file, digits in self.modules.items())
        return {"code_sha256": self.sha256, "code_modules": modules}


class Source(NamedTuple):
    """A file that was read."""

    file: str  # from the root of the repository
    sha256: str  # of what it says; empty if that is nothing, as in most `__init__.py`
    imports: frozenset[str]  # our modules, and names that may be modules


Read = Callable[[str], Source | None]


def codes(trials: Iterable[TrialConfig], root: Path = ROOT) -> dict[str, Code]:
    """The code of each trial by its key, as the files are now.

    Each file is read once a call and parsed once a process, so that the next trial costs a look into a dictionary.

    Raises:
        ModuleNotFoundError: if there is no module that a config names.
        SyntaxError: if a file is no Python.
    """
    read: Read = functools.cache(functools.partial(_read, root))
    found = functools.cache(functools.partial(_code, read))
    return {trial.key: found(roots(trial)) for trial in trials}


def modules_of(tags: Mapping[str, str]) -> dict[str, str]:
    """The modules that a run names, with both hashes where it began with one and went on with another.

    Empty if it names none, or more than its tag could hold.
    """
    words = " ".join(tags.get(name, "") for name in ("code_modules", "code_modules_resumed")).split()
    if not all(re.fullmatch(rf"[^:]+:[0-9a-f]{{{DIGITS}}}", word) for word in words):  # a tag was cut off
        return {}
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for file, _, digits in (word.partition(":") for word in words):
        found[file][digits] = None
    return {file: " then ".join(digits) for file, digits in found.items()}


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str] | None:
    """The files that two trials share and that said something else; None where the modules of either are not known.

    A file that only one of them uses, as its backbone's, is no difference.
    """
    if not one or not other:
        return None
    return sorted(file for file in one.keys() & other.keys() if one[file] != other[file])


def named(files: Sequence[str] | None) -> str:
    """The files that differ, in brackets; empty where they are not known."""
    if not files:
        return ""
    listed = ", ".join(files[:MAX_NAMED]) + f" and {len(files) - MAX_NAMED} more" * (len(files) > MAX_NAMED)
    return f" ({listed} differ{'s' * (len(files) == 1)})"


def _code(read: Read, start: tuple[str, ...]) -> Code:
    found: dict[str, Source | None] = {}
    waiting = [*start]
    while waiting:
        if (name := waiting.pop()) not in found:
            found[name] = source = read(name)
            waiting += source.imports if source else ()
    if missing := [name for name in start if not found[name]]:
        raise ModuleNotFoundError(f"there is no module {missing[0]}", name=missing[0])
    said = {source.file: source.sha256 for source in found.values() if source and source.sha256}
    modules = dict(sorted(said.items()))
    whole = "".join(f"{file} {sha256}\n" for file, sha256 in modules.items())
    short = {file: sha256[:DIGITS] for file, sha256 in modules.items()}
    return Code(hashlib.sha256(whole.encode()).hexdigest(), short)


def _read(root: Path, name: str) -> Source | None:
    """The file of a module, or of a package; None if the name is that of something in a module."""
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
    """Takes away what makes no number."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        """Docstrings, and other text that nothing reads."""
        return None if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str) else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """What only type checkers see."""
        node = self.generic_visit(node)  # type: ignore[assignment]
        return node.orelse if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING") else node


def _imported(node: ast.AST) -> Iterable[str]:
    """What an import statement names; no file here has relative ones."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _said(node: object) -> str:
    """A syntax tree in words: without places in the file, and without empty fields, which each Python has others of."""
    if isinstance(node, ast.AST):
        fields = (
            f"{name}={_said(value)}" for name, value in ast.iter_fields(node) if value is not None and value != []
        )
        return f"{type(node).__name__}({', '.join(fields)})"
    return f"[{', '.join(map(_said, node))}]" if isinstance(node, list) else repr(node)
