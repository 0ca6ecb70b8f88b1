"""The architecture, as tests over the files: who may import what, how long things are, what a study must have."""

from __future__ import annotations

import ast
import graphlib
import importlib
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import datasets
from sweeps.engine.search.search import Search
from trainable.config import FIELDS
from trainable.network.card import bare_names

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {  # of our own folders
    "datasets": {"datasets"},
    "trainable": {"datasets", "trainable"},
    "sweeps": {"datasets", "trainable", "sweeps"},
    "analysis": {"datasets", "trainable", "sweeps", "analysis"},
    "benchmarks": {"datasets", "trainable", "sweeps", "analysis", "benchmarks"},
}
ONLY_IN = {  # third parties: the files and folders that may import them
    "ray": (
        "sweeps/engine/running/",
        "sweeps/engine/clusterfiles/",
        "benchmarks/scale.py",
        "benchmarks/overhead.py",
        "benchmarks/stock_tune.py",  # what ours is held against
    ),
    "yaml": ("sweeps/engine/running/cluster.py", "sweeps/engine/clusterfiles/"),
    "optuna": ("sweeps/engine/search/", "sweeps/engine/store/optuna_study.py", "analysis/engine/search/"),
    "sqlalchemy": ("sweeps/engine/store/optuna_study.py",),  # with which Optuna opens its databases
    "pyarrow": ("datasets/engine/remote.py",),
    "mlflow": ("sweeps/engine/store/store.py", "benchmarks/store.py"),  # the second as a peer
    "torch": ("trainable/", "benchmarks/", "analysis/inside/"),
    "torchaudio": ("trainable/", "benchmarks/"),
    "timm": ("trainable/backbones/", "benchmarks/plain_script.py"),
    "safetensors": ("trainable/weights/pretrained.py",),
    "huggingface_hub": ("trainable/weights/weights.py",),
    "captum": ("analysis/inside/",),
    "matplotlib": ("sweeps/engine/store/drawing.py",),  # which no backend of a notebook can break
    "pandas": ("analysis/", "datasets/engine/clips.py"),
    "scipy": ("analysis/", "benchmarks/coverage.py"),
    "sklearn": ("analysis/",),
    "jinja2": ("analysis/",),
    "psutil": ("trainable/result/usage.py",),
    "pynvml": ("trainable/result/usage.py",),
    "soundfile": ("datasets/", "benchmarks/"),
    "soxr": ("datasets/", "benchmarks/plain_script.py", "benchmarks/mutants.py"),
    "librosa": ("benchmarks/",),  # a reference; tests have it too
    "torchlibrosa": ("benchmarks/",),  # peers, as is
    "lightning": ("benchmarks/",),
    "threadpoolctl": ("benchmarks/",),
    "jaxtyping": ("datasets/", "trainable/", "analysis/"),
    "rich": ("sweeps/engine/display/screen.py",),
    "numpy": ("datasets/", "trainable/", "sweeps/engine/store/artefacts.py", "analysis/", "benchmarks/"),
}
FORBIDDEN_CALLS = {  # and why
    "eval": "runs text",
    "exec": "runs text",
    "os.system": "runs a shell",
    "os.popen": "runs a shell",
    "pickle.load": "runs what a file holds",
    "pickle.loads": "runs what a file holds",
    "yaml.load": "runs what a file holds",
    "joblib.load": "runs what a file holds",
    "torch.jit.load": "runs what a file holds",
    "torch.manual_seed": "is global state",  # but under fork_rng, which puts the old state back
    "np.random.seed": "is global state",
    "random.seed": "is global state",
}
REFUSALS = (
    "BackboneError",
    "CorpusError",
    "DamagedRecord",
    "MissingWeights",
    "NoBudget",
    "RayError",
    "RemoteError",
    "StaleMount",
    "StoreError",
    "WrongEnvironment",
    "WrongWeights",
)
MAX_FILE, MAX_FUNCTION, MAX_STUDY, MAX_FOLDER = 400, 40, 40, 12
LONGER = {"finetune": 70}  # the one loop that is read from top to bottom

FILES = sorted(path.relative_to(ROOT).as_posix() for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py"))
TREES = {file: ast.parse((ROOT / file).read_text(encoding="utf-8")) for file in FILES}
STUDIES = [
    file
    for file, tree in TREES.items()
    if file.startswith("sweeps/")
    and any(isinstance(n, ast.Assign) and [ast.unparse(t) for t in n.targets] == ["SWEEP"] for n in tree.body)
]
FOLDERS = sorted({str(Path(file).parent) for file in FILES})
GROWING = {  # of studies, corpora, their inventors, and families
    "sweeps", "analysis", "datasets", "datasets/synthetic", "benchmarks", "trainable/backbones",
}  # fmt: skip
ENGINE = [
    file
    for file in FILES
    if file.startswith(("trainable/", "sweeps/engine/", "analysis/engine/", "analysis/inside/", "datasets/engine/"))
    and not file.startswith(("trainable/backbones/", "trainable/network/panns/", "trainable/augmentations/"))
]
FAMILIES = {Path(f).stem for f in FILES if re.match(r"trainable/backbones/[^_]", f)}
AUGMENTATIONS = {Path(f).stem for f in FILES if re.match(r"trainable/augmentations/[^_]", f)}
ALSO_PACKAGES = {("trainable/result/provenance.py", "timm")}  # whose versions every record has, whatever its family
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def imports(tree: ast.Module) -> Iterator[str]:
    """Every module that a file names in an import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides what it imports"
            yield node.module or ""


def definitions(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Functions and classes of a module, and the methods of its classes; not what is inside functions."""

    def below(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
        for node in body:
            if isinstance(node, Definition):
                yield prefix + node.name, node
                if isinstance(node, ast.ClassDef):
                    yield from below(node.body, f"{prefix}{node.name}.")

    return below(tree.body, "")


def forks_rng(node: ast.AST) -> bool:
    """Whether a block puts torch's random state back when it ends."""
    return isinstance(node, ast.With) and any("torch.random.fork_rng(" in ast.unparse(item) for item in node.items)


def is_stub(node: Definition) -> bool:
    """Whether a function says only its type, as those of a Protocol do."""
    return not isinstance(node, ast.ClassDef) and ast.unparse(node.body[-1]) == "..."


@pytest.mark.parametrize("file", FILES)
def test_a_folder_sees_itself_and_what_stands_left_of_it(file: str) -> None:
    """datasets <- trainable <- sweeps <- analysis; benchmarks see all four, and nothing sees the tests."""
    folders = {name.partition(".")[0] for name in imports(TREES[file])}
    assert folders & {*MAY_IMPORT, "tests"} <= MAY_IMPORT[file.partition("/")[0]]


@pytest.mark.parametrize("file", FILES)
def test_third_parties_are_imported_where_they_may_be(file: str) -> None:
    """Ray, MLflow, torch and the others each have their place; a new one must be given one here."""
    parties = {name.partition(".")[0] for name in imports(TREES[file])}
    parties -= {*MAY_IMPORT, *sys.stdlib_module_names}
    assert {p for p in parties if p not in ONLY_IN or not file.startswith(ONLY_IN[p])} == set()


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith(("sweeps/engine/", "analysis/", "trainable/"))])
def test_no_list_of_fields_is_kept(file: str) -> None:
    """A field says what it changes (`TrialConfig.only`): a list elsewhere would have to learn of every new one."""
    if file in ("trainable/config.py", "analysis/engine/tables/labels.py"):  # unlabelled fields have their names
        return
    for node in ast.walk(TREES[file]):
        items = node.keys if isinstance(node, ast.Dict) else getattr(node, "elts", [])
        names = [item.value for item in items if isinstance(item, ast.Constant)]
        assert len(names) < 3 or not all(name in FIELDS for name in names), f"{names}: ask config.only(...)"


@pytest.mark.parametrize("file", ENGINE)
def test_the_engine_names_no_family_and_no_augmentation(file: str) -> None:
    """What holds for one of them stands in its file, which is found by its name; so a new one is one file."""
    names = FAMILIES | AUGMENTATIONS | bare_names().keys()
    texts = {n.value for n in ast.walk(TREES[file]) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    found = {text for text in texts if re.split("[/+]", text)[0] in names}
    assert {text for text in found if (file, text) not in ALSO_PACKAGES} == set()
    theirs = ("trainable.backbones.", "trainable.network.panns", "trainable.augmentations.")
    assert {name for name in imports(TREES[file]) if f"{name}.".startswith(theirs)} == set()


def test_a_network_without_a_family_before_it_is_of_one_family() -> None:
    """The file of its family names it in `NAMES`; no network has the name of a family."""
    names = [
        name
        for family in sorted(FAMILIES)
        for name in getattr(importlib.import_module(f"trainable.backbones.{family}"), "NAMES", ())
        if "/" not in name
    ]
    assert sorted(names) == sorted(bare_names())
    assert not FAMILIES & bare_names().keys()


@pytest.mark.parametrize("file", [f for f in FILES if f.endswith("/__init__.py") and f != "analysis/__init__.py"])
def test_packages_hold_a_docstring_only(file: str) -> None:
    """Importing one part loads no other. `analysis` alone has functions, which load what they need when first used."""
    (statement,) = TREES[file].body
    assert isinstance(statement, ast.Expr)
    assert ast.get_docstring(TREES[file])


@pytest.mark.parametrize("folder", ["sweeps", "analysis"])
def test_the_top_shows_studies_and_nothing_else(folder: str) -> None:
    """What runs them is one level down."""
    names = {Path(file).stem for file in STUDIES}
    top = {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__", "__main__"}  # which lists them
    assert top <= names if folder == "analysis" else top == names


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_is_seen_at_a_glance(folder: str) -> None:
    """At most twelve files, but where studies, corpora and families are; no three of one prefix, which is a room."""
    stems = [
        Path(file).stem for file in FILES if str(Path(file).parent) == folder and not Path(file).stem.startswith("_")
    ]
    assert folder in GROWING or len(stems) <= MAX_FOLDER
    prefixes = Counter(stem.partition("_")[0] for stem in stems)
    assert folder in GROWING or {prefix for prefix, number in prefixes.items() if number > 2} == set()


@pytest.mark.parametrize("package", [name for name in MAY_IMPORT if name != "benchmarks"])
def test_a_stem_names_one_file(package: str) -> None:
    """Whoever searches a package for it finds one. A part may have its name in another slot, a corpus its inventor."""
    names = (f for f in FILES if f.startswith(f"{package}/") and not Path(f).stem.startswith("_"))
    stems = Counter(Path(f).stem for f in names if f.replace("synthetic/", "") not in FILES or "synthetic/" not in f)
    assert {stem for stem, number in stems.items() if number > 1} == set()


def test_every_folder_is_a_package() -> None:
    """A folder without `__init__.py` could be shadowed by an installed package of its name."""
    folders = {path.parent for file in FILES if (path := ROOT / file)}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()


def test_datasets_is_ours() -> None:
    """The name belongs to another project on the package index; neither it nor ours is installed."""
    assert datasets.__file__ == str(ROOT / "datasets" / "__init__.py")
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    assert not installed & {"datasets", "soundings"}


@pytest.mark.parametrize("file", FILES)
def test_files_and_functions_are_short(file: str) -> None:
    """What is longer has two purposes."""
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= (MAX_STUDY if file in STUDIES else MAX_FILE)
    for name, node in definitions(TREES[file]):
        length = (node.end_lineno or 0) - node.lineno + 1
        assert isinstance(node, ast.ClassDef) or length <= LONGER.get(name, MAX_FUNCTION), f"{name} has {length} lines"


@pytest.mark.parametrize("file", FILES)
def test_everything_public_says_what_it_is_for(file: str) -> None:
    """Modules, classes, functions and methods have a docstring whose first paragraph is a sentence."""
    told = {file: TREES[file], **dict(definitions(TREES[file]))}
    for name, node in told.items():
        if name != file and (any(part.startswith("_") for part in name.split(".")) or is_stub(node)):  # type: ignore[arg-type]
            continue
        first = (ast.get_docstring(node) or "").partition("\n\n")[0]
        assert re.search(r"[.?!:]$", first), f"{name}: {first!r} is no sentence"


@pytest.mark.parametrize("file", FILES)
def test_docstrings_open_with_a_noun_phrase_or_a_verb(file: str) -> None:
    """A docstring is understood without the name above it, so it does not open with "What", "Of" or "The same,"."""
    nodes = (node for node in ast.walk(TREES[file]) if isinstance(node, ast.Module | Definition))
    openings = [(ast.get_docstring(node) or "").partition("\n")[0] for node in nodes]
    assert [line for line in openings if re.match("What\\b|Of\\b|The same,", line)] == []


@pytest.mark.parametrize("file", FILES)
def test_nothing_unsafe_is_called(file: str) -> None:
    """No shell, no pickle, no archive that is unpacked wherever it says, no global seed."""
    forked = {inner for node in ast.walk(TREES[file]) if forks_rng(node) for inner in ast.walk(node)}
    for node in ast.walk(TREES[file]):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        keywords = {k.arg: ast.unparse(k.value) for k in node.keywords}
        restored = name == "torch.manual_seed" and node in forked
        assert name not in FORBIDDEN_CALLS or restored, f"{name} {FORBIDDEN_CALLS.get(name)}"
        assert keywords.get("shell") != "True", f"{name} runs a shell"
        assert keywords.get("allow_pickle") != "True", f"{name} runs what a file holds"
        assert name != "torch.load" or keywords.get("weights_only") == "True", "torch.load runs what a file holds"
        assert not name.endswith((".extractall", ".unpack_archive")), f"{name} writes wherever the archive says"


@pytest.mark.parametrize("file", [f for f in FILES if f.startswith(("sweeps/", "analysis/"))])
def test_a_command_line_is_parsed_once(file: str) -> None:
    """What was parsed is turned into `Options` in one file; everything else takes those, or single values."""
    annotations = [n.annotation for n in ast.walk(TREES[file]) if isinstance(n, ast.arg | ast.AnnAssign)]
    annotations += [n.returns for n in ast.walk(TREES[file]) if isinstance(n, ast.FunctionDef)]
    named = {ast.unparse(a) for a in annotations if a and "Namespace" in ast.unparse(a)}
    assert not named or file == "sweeps/engine/command/commandline.py"


def test_rooms_of_the_engine_import_in_one_direction() -> None:
    """A room is a folder of `sweeps/engine/`, or a file that stands there alone; imports for types count too."""
    rooms: dict[str, set[str]] = {}
    for file in (f for f in FILES if f.startswith("sweeps/engine/") and not f.endswith("/__init__.py")):
        here = rooms.setdefault(file.split("/")[2].removesuffix(".py"), set())
        for node in ast.walk(TREES[file]):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sweeps.engine"):
                here |= {f"{node.module}.{alias.name}".split(".")[2] for alias in node.names}
    others = {room: found - {room} for room, found in rooms.items()}
    graphlib.TopologicalSorter(others).prepare()  # raises where imports form a ring


def test_what_ends_a_command_is_a_refusal() -> None:
    """The launcher catches one class; whoever adds an error for users derives it."""
    code = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in FILES)
    for name in REFUSALS:
        assert re.search(rf"^class {name}\((\w+, )*Refusal[,)]", code, re.MULTILINE), name


def test_no_path_of_a_machine_is_written_down() -> None:
    """What runs here runs anywhere."""
    names = [*FILES, *(p.relative_to(ROOT).as_posix() for p in ROOT.glob("*") if p.is_file())]
    names += [p.relative_to(ROOT).as_posix() for p in (ROOT / "docs").rglob("*.md")]
    pattern = re.compile(r"(?<![\w.~])/(work|home|root|mnt|Users|tmp|scratch)/|[A-Z]:\\")
    found = {name for name in names if pattern.search((ROOT / name).read_text(encoding="utf-8", errors="replace"))}
    assert found - {"LICENSE"} == set()


class TestStudies:
    def test_there_are_some(self) -> None:
        """The tests below test something."""
        assert "sweeps/deepship_rates.py" in STUDIES

    @pytest.mark.parametrize("file", STUDIES)
    def test_has_a_table(self, file: str) -> None:
        """Every sweep has an analysis of the same name."""
        assert (ROOT / "analysis" / Path(file).name).is_file()

    @pytest.mark.parametrize("file", STUDIES)
    def test_imports_recipes_and_no_other_study(self, file: str) -> None:
        """What two studies share is a paper's recipe."""
        studies = {f.removesuffix(".py").replace("/", ".") for f in STUDIES}
        assert not studies & set(imports(TREES[file]))

    @pytest.mark.parametrize("file", STUDIES)
    def test_is_named_as_its_file(self, file: str) -> None:
        """The name in the store and in commands is the file's."""
        assert importlib.import_module(f"sweeps.{Path(file).stem}").SWEEP.name == Path(file).stem

    @pytest.mark.parametrize("file", STUDIES)
    def test_counts_its_trials(self, file: str) -> None:
        """The arithmetic in the docstring, `3 checkpoints x 6 data rates x 3 seeds = 54 trials`, is right."""
        sweep = importlib.import_module(f"sweeps.{Path(file).stem}").SWEEP
        num = sweep.num_trials if isinstance(sweep, Search) else len(sweep.trials)
        (line,) = re.findall(
            r"^(.*) = (\d+) (?:trials|evaluations)$", ast.get_docstring(TREES[file]) or "", re.MULTILINE
        )
        product = 1
        for factor in line[0].split(" x "):
            product *= int(factor.split()[0])
        assert product == int(line[1]) == num

    @pytest.mark.parametrize("file", STUDIES)
    def test_says_how_it_is_started(self, file: str) -> None:
        """The docstring has the command."""
        assert f"python -m sweeps.{Path(file).stem}" in (ast.get_docstring(TREES[file]) or "")

    @pytest.mark.slow
    @pytest.mark.parametrize("file", STUDIES)
    def test_is_planned_without_anything_heavy(self, file: str, tmp_path: Path) -> None:
        """A dry run loads none of Ray, torch, MLflow and pandas' friends, and leaves nothing on the disk."""
        program = (
            "import sys, importlib\n"
            f"study = importlib.import_module('sweeps.{Path(file).stem}')\n"
            "try:\n"
            f"    study.main(study.SWEEP, ['--dry-run', '--storage', {str(tmp_path)!r}])\n"
            "except SystemExit as end:\n"
            "    assert end.code == 0, end.code\n"
            "heavy = ('ray', 'torch', 'mlflow', 'optuna', 'matplotlib', 'sklearn')\n"
            "sys.exit(str([m for m in heavy if m in sys.modules]))\n"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
        assert run.stderr == "[]\n"
        sweep = importlib.import_module(f"sweeps.{Path(file).stem}").SWEEP
        planned = f"{sweep.num_trials} eval" if isinstance(sweep, Search) else f"{len(sweep.trials)} planned"
        assert planned in run.stdout
        assert not list(tmp_path.iterdir())

    @pytest.mark.slow
    @pytest.mark.parametrize("file", STUDIES)
    def test_runs_as_a_script_from_anywhere(self, file: str, tmp_path: Path) -> None:
        """`ray submit` starts the file by its path."""
        command = [sys.executable, str(ROOT / file), "--dry-run", "--storage", str(tmp_path)]
        run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.slow
def test_datasets_and_trainable_need_neither_ray_nor_mlflow() -> None:
    """A bare GPU machine has torch and numpy; every module of both folders can be imported there."""
    modules = [f.removesuffix(".py").replace("/", ".") for f in FILES if f.startswith(("datasets/", "trainable/"))]
    program = (
        "import sys, importlib\n"
        "sys.modules |= dict.fromkeys(('ray', 'mlflow', 'optuna', 'matplotlib', 'scipy', 'sklearn', 'jaxtyping'))\n"
        f"for name in {modules}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
