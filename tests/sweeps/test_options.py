"""The same words name the same trials in a study and in its table."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import pytest

from datasets.engine.prepare import Source
from sweeps.engine.code import ROOT
from sweeps.engine.command import commandline
from sweeps.engine.command.options import Options, parse_seeds
from sweeps.engine.plan import Sweep, grid
from sweeps.engine.store.runs import sqlite_path
from sweeps.recipes.mohammadi import RATES

BASE = RATES
SWEEP = Sweep("toy", grid(BASE, data_hz=(8_000, 16_000), seed=(1, 2, 3)))


def parse(*words: str) -> Options:
    parser = argparse.ArgumentParser(exit_on_error=False)
    commandline.add_plan_flags(parser)
    commandline.add_store_flags(parser)
    return commandline.options_of(parser.parse_args(words))


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--seeds", "1,2,3,4"),
        ("--seeds", "1-3,7"),
        ("--limit", "2"),
        ("--classes", "Tug,Cargo", "--split", "vessel"),
        ("--set", "corpus=folder", "--groups", r"(?P<label>\d)_(?P<speaker>\w+)_"),
        ("--target", "vessel", "--split", "day"),
        ("--set", "epochs=2", "--set", "clip_s=2.5", "--seeds", "9"),
        ("--storage", "/data/my results", "--store", "http://server:5000"),
        ("--set", "classes=Cargo,Tug", "--limit", "1"),
        ("--until-decided",),
        ("--until-decided", "data_hz", "--max-seeds", "9", "--seeds", "1,2"),
    ],
)
def test_flags_are_repeated_in_full(words: tuple[str, ...]) -> None:
    """Another command with the printed flags is about the same trials, in the same store."""
    options = parse(*words)
    again = parse(*options.as_flags)
    assert [t.key for t in again.planned(SWEEP).trials] == [t.key for t in options.planned(SWEEP).trials]
    assert again.variant == options.variant
    assert again.store_uri == options.store_uri
    assert again == options


def test_no_flag_is_the_studys_own_plan() -> None:
    """Without flags nothing is varied, and nothing is repeated."""
    assert parse().planned(SWEEP) == SWEEP
    assert parse().variant == ""
    assert parse().as_flags == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("--set", "lr=1e-4"), ("--set", "lr=0.0001")),
        (("--classes", "Cargo,Tug"), ("--set", "classes=Cargo,Tug")),
        (("--classes", "Cargo,Tug"), ("--classes", "Tug, Cargo")),
        (("--split", "vessel", "--set", "epochs=2"), ("--set", "epochs=2.0", "--set", "split=vessel")),
    ],
)
def test_a_variant_has_one_name(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """The same settings, written in another form or order, are the same sweep in the store."""
    assert parse(*one).variant == parse(*other).variant != ""
    assert parse(*one).planned(SWEEP) == parse(*other).planned(SWEEP)


@pytest.mark.parametrize("words", [("--seeds", "1,2"), ("--limit", "3"), ("--storage", "/elsewhere")])
def test_what_is_no_setting_is_no_variant(words: tuple[str, ...]) -> None:
    """More seeds or fewer trials belong to the sweep that they extend."""
    assert parse(*words).variant == ""


@pytest.mark.parametrize("words", [("--set", "split=day"), ("--split", "day")])
def test_a_field_that_is_set_twice_is_refused(words: tuple[str, str]) -> None:
    """It is unclear which of the two was meant."""
    with pytest.raises(ValueError, match="split is set twice"):
        assert parse("--set", "split=vessel", *words).fields


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seeds", "1,x"), "--seeds '1,x': write whole numbers, 1,2,3 or 1-3,7"),
        (("--seeds", ""), "--seeds '': write whole numbers"),
        (("--seeds", "3-1"), "--seeds '3-1': write the smaller number first, 1-3"),
        (("--seeds", "1-10001"), "--seeds '1-10001': names more than 10,000 seeds"),
        (("--seeds", "0-9999,10000"), "names more than 10,000 seeds"),
        (("--seeds", "1-3,2"), "a seed stands there twice"),
        (("--seeds", "1,2,1"), "--seeds '1,2,1': a seed stands there twice"),
        (("--set", "epochs"), "'epochs': write field=value"),
        (("--set", "epoch=3"), "TrialConfig has no field 'epoch'"),
        (("--set", "data_hz=1000"), "raise data_hz or clip_s"),
        (("--classes", "Tug"), "name two or more different classes"),
        (("--max-seeds", "9"), "--max-seeds 9: only ends --until-decided; add that, or write --seeds"),
    ],
)
def test_flags_that_make_no_plan_are_refused(words: tuple[str, ...], told: str) -> None:
    """The error names the flag or field, the value and the remedy."""
    with pytest.raises(ValueError, match=told):
        parse(*words).planned(SWEEP)


def test_results_are_in_the_storage_unless_said_otherwise(tmp_path: Path) -> None:
    """The store is a file in the storage, with an absolute path; --store names another."""
    assert parse("--storage", str(tmp_path)).store_uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert parse().store_uri == f"sqlite:///{ROOT}/results/mlflow.db"
    assert parse("--store", "http://a:1").store_uri == "http://a:1"


def test_folders_follow_from_the_storage(tmp_path: Path) -> None:
    """Flags may name others; folders that are not given do not exist."""
    options = flagged("--storage", str(tmp_path))
    assert (options.weights_dir, options.cache_dir) == (tmp_path / "weights", tmp_path / "cache")
    assert (options.source, options.object_store, options.corpus_store) == (None, None, None)
    named = flagged("--storage", str(tmp_path), "--cache-dir", str(tmp_path / "fast"), "--data-root", str(tmp_path))
    assert named.source == Source(tmp_path, tmp_path / "fast")


def test_options_are_not_changed(tmp_path: Path) -> None:
    """Changes make new options."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        parse("--storage", str(tmp_path)).store = "http://a:1"  # type: ignore[misc]


@pytest.mark.parametrize("folder", ["my results", "50%20", "what?", "é#1"])
def test_the_store_is_in_the_storage_whatever_its_name(tmp_path: Path, folder: str) -> None:
    """The address is quoted for MLflow; otherwise runs would be in a folder of another name."""
    assert sqlite_path(parse("--storage", str(tmp_path / folder)).store_uri) == tmp_path / folder / "mlflow.db"


def test_the_storage_may_be_below_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tilde that the shell left is expanded to the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert parse("--storage", "~/results").store_uri == f"sqlite:///{tmp_path}/results/mlflow.db"


SECRETS = [  # each holds the word hunter2, and must not be repeated
    "https://me:hunter2@mlflow.example.org",
    "http://hunter2@mlflow.example.org:5000/a",
    "hunter2@mlflow.example.org",
    "https://mlflow.example.org/?token=hunter2",
    "https://mlflow.example.org/a?b=1&ACCESS_TOKEN=hunter2",
    "https://mlflow.example.org/?b=1;api-key=hunter2",
    "https://mlflow.example.org/#access_token=hunter2",
    "https://mlflow.example.org/?%74oken=hunter2",
    "postgresql://me:hunter2@db/optuna",
    "postgresql://db/optuna?password=hunter2",
    "s3://hunter2@bucket/a",
    "s3://key:hunter2@bucket/a",
    "s3://bucket/a?secret_key=hunter2&region=eu",
    "s3://bucket/a?access_key=hunter2",
    "gs://someone:hunter2@bucket/a",
    "https://bucket.s3.amazonaws.com/a?X-Amz-Credential=hunter2&X-Amz-Date=1",
    "https://bucket.s3.amazonaws.com/a?X-Amz-Signature=hunter2",
    "https://bucket.s3.amazonaws.com/a?AWSAccessKeyId=hunter2",
    "https://account.blob.core.windows.net/a?sv=2022&sig=hunter2",
    "https://host/?auth=hunter2",
    "https://host/?credential=hunter2",
    "http://[hunter2",
    "https://host/hunter2\n",
]
NO_SECRETS = [
    "http://server:5000",
    "https://server/mlflow?region=eu#runs",
    "sqlite:////data/me@work/key.db",
    "sqlite:///results/a%3Fb.db",
    "postgresql://me@db/optuna",
    "mysql+pymysql://me@db/optuna",
    "s3://bucket/secret/folder?region=eu-west-1&endpoint_override=minio%3A9000&scheme=http",
    "gs://anonymous@bucket/a",
    "file:///data/me@work",
]


def flagged(*words: str) -> Options:
    parser = argparse.ArgumentParser()
    for add in (commandline.add_store_flags, commandline.add_data_flags):
        add(parser)
    return commandline.options_of(parser.parse_args(words))


@pytest.mark.parametrize(
    ("flag", "uri"),
    [
        *((flag, uri) for flag in ("--store", "--optuna") for uri in SECRETS),
        *((flag, uri) for flag in ("--storage", "--data-root") for uri in SECRETS if "://" in uri),  # else a folder
    ],
)
def test_a_secret_in_an_address_is_refused_and_not_repeated(
    flag: str, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be logged; the error says where it belongs, and does not contain it."""
    with pytest.raises(SystemExit, match=r"^2$"):
        flagged(flag, uri)
    message = capsys.readouterr().err
    assert flag in message
    assert "hunter2" not in message


@pytest.mark.parametrize("name", ["STORE", "STORAGE", "DATA_ROOT"])
def test_a_secret_in_the_environment_is_refused_too(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """That is so if the flag is not given."""
    monkeypatch.setenv(f"SOUNDINGS_{name}", "https://host/?token=hunter2")
    with pytest.raises(SystemExit, match=r"^2$"):
        flagged()
    assert "hunter2" not in capsys.readouterr().err


@pytest.mark.parametrize("uri", NO_SECRETS)
def test_an_address_without_a_secret_is_taken(uri: str) -> None:
    """Examples are a user's name for a database, Google Cloud's public login, and text that only resembles a secret."""
    assert flagged("--store", uri).store == uri
    assert flagged("--storage", uri).remote == uri


@pytest.mark.parametrize(
    ("text", "seeds"),
    [("1-3", [1, 2, 3]), ("1-3,7", [1, 2, 3, 7]), (" 0 , 2 - 4 ", [0, 2, 3, 4]), ("5-5", [5]), (None, [])],
)
def test_seeds_may_be_ranges(text: str | None, seeds: list[int]) -> None:
    """The ranges are those that a plan prints."""
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(("word", "part"), [("0.25", 0.25), ("1", 1), ("4", 4)])
def test_a_trial_takes_a_part_of_a_gpu_or_several(word: str, part: float) -> None:
    """It is a part below one, or a whole number."""
    assert commandline.gpu_part(word) == part


@pytest.mark.parametrize(("word", "points"), [("0", 0), ("0.0", 0), ("2.5", 2.5), ("100", 100)])
def test_a_margin_may_be_nothing(word: str, points: float) -> None:
    """Every difference then matters."""
    assert commandline.points(word) == points


@pytest.mark.parametrize("word", ["0", "-1", "1.5"])
def test_no_trial_takes_one_gpu_and_a_half(word: str) -> None:
    """Impossible values are refused and named."""
    with pytest.raises(argparse.ArgumentTypeError, match=word):
        commandline.gpu_part(word)
