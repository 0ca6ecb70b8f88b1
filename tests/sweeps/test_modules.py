"""The code of a trial: the modules behind its numbers, and the changes that affect their hash."""

from __future__ import annotations

import ast
import dataclasses
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from datasets.engine import manifest, prepare, splits
from datasets.engine.prepare import Source, Wanted
from datasets.synthetic.esc50 import write as write_esc50
from sweeps.engine.code import ROOT
from sweeps.engine.modules import Code, _parsed, _said, codes, differing, modules_of, named, roots
from sweeps.engine.store.runs import LONGEST, fitted
from tests.sweeps.small import BASE
from trainable.config import TrialConfig

PANN = dataclasses.replace(BASE, corpus="esc50", split="published", score_on="test", epochs=1)
TIMM = dataclasses.replace(PANN, backbone="timm/mobilenetv3_large_100.ra_in1k", pretrain_hz=32_000, width=1 / 8)
PROBE = dataclasses.replace(PANN, trained="head", augment="none")
LOOP = "trainable/finetune.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the code, to be changed."""
    for folder in ("datasets", "trainable"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def code(trial: TrialConfig, root: Path = ROOT) -> Code:
    return codes([trial], root)[trial.key]


def reformatted(text: str) -> str:
    """A tree in another layout, without comments and with other docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            node.body[0] = ast.Expr(ast.Constant("Something else."))
    return "# A comment.\n\n" + ast.unparse(tree)


def written(file: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / file).write_text(text, encoding="utf-8")


def edited(file: str, change: Callable[[str], str]) -> Callable[[Path], object]:
    return lambda root: (root / file).write_text(change((root / file).read_text("utf-8")), encoding="utf-8")


def every_form(root: Path) -> None:
    for path in root.rglob("*.py"):
        path.write_text(reformatted(path.read_text(encoding="utf-8")), encoding="utf-8")


HARMLESS: dict[str, Callable[[Path], object]] = {
    "form, comments and docstrings of all files": every_form,
    "a docstring": edited(LOOP, lambda text: '"""Another."""\n' + text.split('"""\n', 1)[-1]),
    "a comment": edited(LOOP, lambda text: text + "\n# A comment.\n"),
    "an import for type checkers": edited(
        LOOP, lambda t: t.replace("TYPE_CHECKING:\n", "TYPE_CHECKING:\n    import x\n")
    ),
    "a backbone": written("trainable/backbones/mine.py", "import trainable.network.card\n"),
    "a corpus": written("datasets/mine.py", "x = 1\n"),
    "another backbone's file": edited("trainable/backbones/timm.py", lambda text: text + "x = 1\n"),
    "another corpus": edited("datasets/deepship.py", lambda text: text + "x = 1\n"),
    "the cost model": edited("trainable/cost/cost.py", lambda text: text + "x = 1\n"),
    "synthetic sounds": edited("datasets/synthetic/sounds.py", lambda text: text + "x = 1\n"),
    "a page": written("README.md", "hello"),
    "notes": written("trainable/notes.txt", "hello"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", HARMLESS)
def test_what_makes_no_number_of_a_trial_changes_nothing(tree: Path, change: str) -> None:
    """Examples are comments, docstrings, and files that the trial does not use."""
    HARMLESS[change](tree)
    assert code(PANN, tree) == code(PANN)


@pytest.mark.parametrize(
    "file",
    [
        LOOP,
        "trainable/trial.py",
        "trainable/backbones/panns.py",
        "trainable/network/panns/models.py",  # which is imported within a function
        "trainable/network/panns/blocks.py",
        "datasets/esc50.py",
        "datasets/engine/cache.py",
    ],
)
def test_a_line_that_the_trial_runs_changes_its_code(tree: Path, file: str) -> None:
    """Only its file is named."""
    edited(file, lambda text: text + "x = 1\n")(tree)
    assert code(PANN, tree).sha256 != code(PANN).sha256
    assert differing(code(PANN).modules, code(PANN, tree).modules) == [file]


def test_the_name_of_a_module_counts(tree: Path) -> None:
    """The same lines elsewhere are other code."""
    (tree / "trainable" / "randomness.py").rename(tree / "trainable" / "chance.py")
    for path in tree.rglob("*.py"):
        edited(str(path), lambda text: text.replace("trainable.randomness", "trainable.chance"))(tree)
    assert code(PANN, tree).sha256 != code(PANN).sha256


def test_a_trial_counts_the_modules_of_its_own_backbone_and_corpus() -> None:
    """Shared modules have the same hash everywhere; code that no trial runs is in none."""
    pann, timm = code(PANN).modules, code(TIMM).modules
    assert {file for file in timm if "panns" in file} == {"trainable/network/panns/rates.py"}  # what both hear
    assert {file for file in pann if "timm" in file or "picture" in file} == set()
    assert pann.keys() - timm.keys() == {f"trainable/{f}.py" for f in PANNS}
    assert timm.keys() - pann.keys() == {"trainable/backbones/timm.py", "trainable/network/picture.py"}
    ships = code(BASE).modules
    assert ships.keys() ^ pann.keys() == {"datasets/deepship.py", "datasets/esc50.py"}
    for modules in (pann, timm, ships):
        assert {f for f in modules if f.startswith(("trainable/cost/", "datasets/synthetic/"))} == set()
    assert differing(pann, timm) == differing(pann, ships) == []


PANNS = ("backbones/panns", *(f"network/panns/{name}" for name in ("blocks", "layers", "models", "published")))

RUN = """
import json, sys
from pathlib import Path
from trainable import trial
from trainable.config import TrialConfig
from trainable.device.place import Place
config, clips, split, folder, scan = json.loads(sys.argv[1])
place = Place(Path(clips), Path(split), None, Path(folder), scan=Path(scan))
trial.run(TrialConfig(**config), place, lambda row: None)
ours = [m for name, m in sys.modules.items() if name.partition(".")[0] in ("datasets", "trainable")]
print(json.dumps(sorted(m.__file__ for m in ours)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("trial", [PANN, TIMM, PROBE], ids=["pann", "timm", "probe"])
def test_a_trial_loads_no_module_that_is_not_counted(trial: TrialConfig, tmp_path: Path) -> None:
    """A real trial runs in its own process; packages have only docstrings, and are not counted."""
    write_esc50(tmp_path / "audio", num_classes=2, rate_hz=16_000)
    source = Source(tmp_path / "audio", tmp_path / "cache")
    prepared = prepare.prepare(Wanted("esc50", (), "published", trial.clip_s), source)
    (clips,) = prepare.clips(prepared, [trial.data_hz], trial.clip_s, source).values()
    split = splits.write(prepared.split, tmp_path / "splits")
    scan = manifest.write(prepared.scan, tmp_path / "scans")
    words = json.dumps([trial.to_dict(), *map(str, (clips, split, tmp_path / "trial", scan))])
    done = subprocess.run([sys.executable, "-c", RUN, words], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {Path(file).relative_to(ROOT).as_posix() for file in json.loads(done.stdout.splitlines()[-1])}
    assert {LOOP, "trainable/trial.py"} < loaded
    assert {f for f in loaded if not f.endswith("/__init__.py")} - code(trial).modules.keys() == set()


def test_trials_that_begin_with_the_same_modules_share_their_code() -> None:
    """Ten thousand trials cost one walk, and no file is parsed twice."""
    again = dataclasses.replace(PANN, seed=2, data_hz=16_000)
    assert roots(again) == roots(PANN)
    codes([PANN])
    before = _parsed.cache_info().misses
    code_of = codes([PANN, again])
    assert code_of[PANN.key] is code_of[again.key]
    assert _parsed.cache_info().misses == before


def test_what_is_not_there_and_what_is_no_python_is_named(tree: Path) -> None:
    """This happens before a trial begins."""
    written("datasets/engine/clips.py", "x =")(tree)
    with pytest.raises(SyntaxError) as broken:
        codes([PANN], tree)
    assert broken.value.filename == "datasets/engine/clips.py"
    (tree / "datasets" / "esc50.py").unlink()
    shutil.copy(ROOT / "datasets" / "engine" / "clips.py", tree / "datasets" / "engine")
    with pytest.raises(ModuleNotFoundError, match=r"there is no module datasets\.esc50"):
        codes([PANN], tree)


def test_every_way_to_import_is_followed(tmp_path: Path) -> None:
    """Packages on the way count if they have contents; other names in a module do not."""
    checked = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trainable.a.no\n"
    files = {
        "trainable/trial.py": "import trainable.a.one\ndef f():\n    from trainable.a import two, nothing\n",
        "trainable/backbones/panns.py": checked + "else:\n    from trainable.a.three import *\n",
        "datasets/esc50.py": "import numpy, datasets.other as o\n",
        "datasets/other.py": "x = 1",
        "trainable/a/__init__.py": "x = 1",
        **{f"trainable/a/{name}.py": "x = 1" for name in ("one", "two", "three", "no")},
        **{f"{name.replace('.', '/')}.py": "x = 1" for name in roots(PANN)[3:]},  # its parts
    }
    for file, text in files.items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text, encoding="utf-8")
    assert list(code(PANN, tmp_path).modules) == sorted(files.keys() - {"trainable/a/no.py"})


def test_a_tree_is_written_the_same_by_every_python() -> None:
    """Fields that newer versions add are empty if unused; everything else counts."""
    old, new = (ast.parse("def f(x=None): return {'a': 0, **x}") for _ in range(2))
    definition = new.body[0]
    definition._fields = (*definition._fields, "type_params")  # type: ignore[misc]
    definition.type_params = []  # type: ignore[attr-defined]
    assert _said(old) == _said(new)
    texts = (
        "x",
        "x = None",
        "x = 0",
        "x = ''",
        "x = []",
        "x = [None]",
        "return",
        "return None",
        "{**x}",
        "def f(*, a=0, b): 0",
    )
    assert len({_said(ast.parse(text)) for text in texts}) == len(texts)


@pytest.mark.parametrize("trial", [PANN, TIMM, BASE])
def test_a_run_holds_the_list(trial: TrialConfig) -> None:
    """It fits with room to spare; a truncated list counts as unknown."""
    tags = code(trial).tags
    assert len(tags["code_modules"]) < 0.6 * LONGEST
    assert modules_of(tags) == code(trial).modules
    assert modules_of({}) == {}
    assert modules_of({"code_modules": fitted(tags["code_modules"] * 9)}) == {}


def test_a_trial_that_went_on_with_other_code_has_both() -> None:
    """It differs from trials of either code, where the codes differ."""
    first, then = {"a.py": "1" * 8, "b.py": "2" * 8}, {"a.py": "1" * 8, "b.py": "3" * 8}
    both = modules_of(
        {
            "code_modules": Code("", first).tags["code_modules"],
            "code_modules_resumed": Code("", then).tags["code_modules"],
        }
    )
    assert both == {"a.py": "1" * 8, "b.py": f"{'2' * 8} then {'3' * 8}"}
    assert differing(first, both) == differing(both, then) == ["b.py"]
    assert differing(first, {}) is None


def test_files_that_differ_are_told_in_words() -> None:
    """A few are named, the rest counted."""
    assert named(None) == named([]) == ""
    assert named(["a.py"]) == " (a.py differs)"
    assert named(["a.py", "b.py"]) == " (a.py, b.py differ)"
    assert named([*"abcdefg"]) == " (a, b, c, d, e and 2 more differ)"
