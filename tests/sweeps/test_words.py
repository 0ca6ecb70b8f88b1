"""Malicious or impossible words: each ends with exit code 2 and a line that names it, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from analysis.engine.command import main as report_main
from analysis.engine.kinds import Pivot
from analysis.engine.search import searched
from analysis.inside.gradcam import main as gradcam
from datasets.engine.verify import main as verify
from datasets.synthetic.deepship import write as write_deepship
from sweeps import deepship_rates, learning_rate
from sweeps.engine.launch import main
from sweeps.engine.store.reconcile import main as reconcile

LONG = "x" * 5000
NOT_UTF8 = "\udcff"  # what Python makes of a byte on the command line that is not UTF-8
FIELDS = {  # field: values that it cannot have
    "backbone": ["../../x", "timm/../../x", "timm/", "/x", "", "a.b/c", "__init__/x", "\0/x", "timm/x\ny.z", LONG],
    "corpus": ["../x", "engine.x", "corpus", "splits", "__init__", ".", "", "deep ship", "x\0", NOT_UTF8, LONG],
    "width": ["1e300", "1e-9", "inf", "nan", "-1", "0"],
    "clip_s": ["1e12", "1e300", "1e-300", "nan"],
    "data_hz": [str(10**15), "1e300", "0", "-1"],
    "pretrain_hz": ["7", "-1", "1e300", "x"],
    "epochs": [str(10**15), "0", "1.5", "10000"],
    "patience": ["-1", "inf"],
    "seed": [str(2**60), "9" * 5000, "-1"],
    "batch": [str(10**12), "0"],
    "lr": ["1e300", "inf", "nan", "1e-320", "0", "-1"],
    "weight_decay": ["1e300", "-1", "nan"],
    "overlap": ["1", "-0.1", "nan"],
    "short": ["stretch", ""],
    "head_dropout": ["1", "nan", "1e300"],
    "groups": ["(?P<label>", r"\d", "(?P<label>a\nb)", NOT_UTF8, LONG],
    "target": ["a\nb", "../x", "vesel", NOT_UTF8, LONG],
    "split": ["", "a\nb", "../x", "vesel", NOT_UTF8, LONG],
    "weights": ["", "run:../../x", "run:0123456789ab\n", "run:0123456789AB"],
    "augment": ["none\n", ""],
    "classes": ["A\nB,C", "A\0,C", NOT_UTF8 + ",b", "Cargo", LONG + ",y"],
}
FLAGS = {  # flag: values that it cannot have
    "--gpu-memory-gb": ["nan", "inf", "-1", "0", "1e300", "x"],
    "--cpus-per-trial": [str(10**30), "9" * 5000, "0", "x"],
    "--gpus-per-trial": ["nan", "inf", "1e300", "1.5", "x"],
    "--max-concurrent": [str(10**30), "0"],
    "--hang-after": ["0", "9" * 400, "nan"],
    "--price-per-hour": ["nan", "inf", "0", "x"],
    "--watts": ["nan", "inf", "-1"],
    "--tflops": ["nan", "inf", "1e-320", "0"],
    "--gpus": [str(10**40), "-1", "nan"],
    "--cpus": [str(10**40), "0"],
    "--budget": ["nan", "9" * 400 + "cpu-h", "", "0gpu-h", "\N{ARABIC-INDIC DIGIT ONE}cpu-h"],
    "--accelerator": ["a\nb", ""],
    "--why": ["", "g", NOT_UTF8],
    "--limit": ["0", "-3", "1e3", str(10**30)],
    "--seeds": ["3-1", "1-999999999999", "1,,2", "", "-1", "1,1", "1-3,2", "1-", "9" * 5000, NOT_UTF8],
    "--set": ["", "=", "=x", "nothing=1", "lr"],
    "--store": ["", "http://[", "sqlite:///\0", f"sqlite:////x{NOT_UTF8}.db"],
    "--storage": ["", "\0", "a\nb", f"/x{NOT_UTF8}", LONG, "s3://[", "s3://a\0", "~nobody-has-this-name/x"],
    "--data-root": ["", "\0", LONG, "s3://[", "~nobody-has-this-name/x"],
    "--weights-dir": ["", "\0", LONG],
    "--cache-dir": ["", "\0", LONG],
    "--split-file": ["", "\0", LONG],
    "--split": ["published", "vesel"],
    "--groups": ["(?P<label>", "(?P<label>x)"],
    "--target": ["vesel"],
}
WORDS = [
    *(("--set", f"{field}={value}") for field, values in FIELDS.items() for value in values),
    *((flag, value) for flag, values in FLAGS.items() for value in values),
]


@pytest.fixture(scope="module")
def ships(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes of four recordings, one clip each."""
    root = tmp_path_factory.mktemp("corpus") / "ships"
    write_deepship(root, num_per_class=4, seconds=(5, 5), rate_hz=1_000)
    return root


def named(flag: str, value: str, said: str) -> bool:
    """Whether a message has the flag or the field, and the value, or its beginning, as it can be printed.

    An address is not repeated, because it may hold a secret.
    """
    field, equals, text = value.partition("=")
    name, text = (field, text) if flag == "--set" and equals and field in FIELDS else (flag.removeprefix("--"), value)
    forms = [text, ascii(text)[1:-1]]
    with suppress(ValueError):
        forms.append(repr(float(text)))
    return (name in said or flag == "--set") and ("://" in text or any(f[:60] in said for f in forms))


def refused(command: Callable[[Sequence[str]], object], words: Sequence[str]) -> None:
    """Runs a command that must end with 2."""
    try:
        code = command(words)
    except SystemExit as end:
        code = end.code
    assert code == 2, f"exit code {code!r}"


@pytest.mark.slow
@pytest.mark.parametrize(("flag", "value"), WORDS, ids=lambda word: ascii(word)[:40])
def test_a_study_refuses_a_word_that_cannot_be(
    flag: str, value: str, ships: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dry run and a start, with and without data. Checkpoints are missing: what is not refused for its own sake is
    refused for theirs, and names no such word."""
    storage = tmp_path / "results"
    where = [] if flag == "--storage" else ["--storage", str(storage)]
    data = [] if flag == "--data-root" else ["--data-root", str(ships)]
    for more in (["--dry-run"], ["--dry-run", *data], data, []):
        refused(lambda words: main(deepship_rates.SWEEP, words), [*where, *more, flag, value])
        message = capsys.readouterr().err
        assert named(flag, value, message), message
        assert "Traceback" not in message
        assert len(message) < 12_000
    assert {path.name for path in storage.rglob("*")} <= {".driver.lock", ".storage-id", "facts.sqlite", "cache"}
    assert {path.name for path in tmp_path.iterdir()} <= {"results"}


def test_a_search_refuses_what_it_cannot_know(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its trials are proposed only as it runs."""
    for words in (["--budget", "1cpu-h"], ["--why", "all"]):
        refused(lambda words: main(learning_rate.SWEEP, words), [*words, "--storage", str(tmp_path)])
        assert words[0] in capsys.readouterr().err


PLAN = [word for word in WORDS if word[0] in ("--set", "--seeds", "--limit", "--store", "--storage")]


def rates(words: Sequence[str]) -> int:
    """The report of a sweep."""
    return report_main(deepship_rates.SWEEP, "?", Pivot("data_hz", "pretrain_hz"), argv=words)


def rate(words: Sequence[str]) -> int:
    """The report of a search."""
    return searched.main(learning_rate.SWEEP, "?", words)


@pytest.mark.parametrize("report", [rates, rate])
def test_a_report_refuses_the_same_words(
    report: Callable[[Sequence[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a missing corpus, class or split, it may say instead that the store has no such run."""
    for flag, value in [*PLAN, ("--margin", "nan"), ("--margin", "-1"), ("--margin", "inf"), ("--out", "\0")]:
        where = [] if flag == "--storage" else ["--storage", str(tmp_path)]
        refused(report, [*where, flag, value])
        assert capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("sweep", ["../x", "launch", "learning_rate", "", "\0", LONG, NOT_UTF8])
def test_gradcam_refuses_what_is_no_sweep(sweep: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Examples are a path, a module without a sweep, and a search."""
    refused(gradcam, [sweep, "--data-root", str(tmp_path), "--storage", str(tmp_path)])
    assert "has no sweep of that name" in capsys.readouterr().err


def test_reconcile_refuses_the_same_places(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It also refuses a storage without trials."""
    for value in [*FLAGS["--storage"], str(tmp_path / "new")]:
        refused(reconcile, ["--storage", value])
        assert named("--storage", value, capsys.readouterr().err)
    for value in FLAGS["--store"]:
        (tmp_path / "trials").mkdir(exist_ok=True)
        refused(reconcile, ["--storage", str(tmp_path), "--store", value])
        assert named("--store", value, capsys.readouterr().err)


@pytest.mark.parametrize("flag", ["--data-root", "--cache-dir"])
@pytest.mark.parametrize("value", ["", "\0", LONG, "~nobody-has-this-name/x", "/nowhere"])
def test_verify_refuses_the_same_places(
    flag: str, value: str, ships: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It also refuses an empty cache."""
    places = {"--data-root": str(ships), "--cache-dir": str(tmp_path)} | {flag: value}
    refused(verify, ["deepship", *(word for place in places.items() for word in place)])
    assert ascii(value)[1:-1][:60] in capsys.readouterr().err


@pytest.mark.parametrize("corpus", FIELDS["corpus"])
def test_verify_refuses_what_is_no_corpus(corpus: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It does so as a study does."""
    refused(verify, [corpus, "--data-root", str(tmp_path), "--cache-dir", str(tmp_path)])
    assert "datasets/ has no corpus of that name" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["STORAGE", "DATA_ROOT", "CACHE_DIR", "WEIGHTS_DIR", "STORE"])
def test_the_environment_is_refused_as_flags_are(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That holds in a study and in a report; the message has the variable's name, or the flag's."""
    hostile = "https://hunter2@host" if name in ("STORE", "STORAGE", "DATA_ROOT") else LONG
    monkeypatch.setenv(f"SOUNDINGS_{name}", hostile)
    report = [] if name in ("DATA_ROOT", "CACHE_DIR", "WEIGHTS_DIR") else [rates, reconcile]
    for command in (lambda words: main(deepship_rates.SWEEP, [*words, "--dry-run"]), *report):
        refused(command, [])
        message = capsys.readouterr().err
        assert f"SOUNDINGS_{name}" in message or "--store" in message
        assert "hunter2" not in message
