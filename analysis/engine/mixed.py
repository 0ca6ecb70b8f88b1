"""Trials that must not share a table: those with different data, and those made by different code or versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from sweeps.engine.modules import differing, modules_of, named
from sweeps.engine.store.runs import Run
from trainable.config import CLIPS, DATA, SPLIT, START, TrialConfig

# Each hash, and the kinds of fields that it depends on: a table needs one hash for each combination of their values.
HASHES = {"data_sha256": (DATA,), "split_sha256": (DATA, SPLIT, CLIPS), "weights_sha256": (START,)}
REMEDY = {
    "data_sha256": "choose one with --data and its first digits",
    "split_sha256": "choose one with --data and its first digits",
    "weights_sha256": "delete the runs that are out of date from the store",
}
MADE_BY = ("code", "versions")
NO_NUMBER = ("ray ", "mlflow ")  # packages whose versions change no number


def mixed(finished: Mapping[TrialConfig, Sequence[Run]], accept: Collection[str] = ()) -> Iterable[str]:
    """Yields what keeps these runs from sharing a table: one sentence per problem, with its remedy.

    Args:
        finished: the finished runs of every planned trial.
        accept: the members of `MADE_BY` that may differ.
    """
    yield from _hashes(finished)
    for name in MADE_BY:
        if name not in accept:
            yield from _made_by(name, [run for runs in finished.values() for run in runs])


def _hashes(finished: Mapping[TrialConfig, Sequence[Run]]) -> Iterable[str]:
    for name, depends_on in HASHES.items():
        groups: dict[tuple[tuple[str, object], ...], list[Run]] = defaultdict(list)
        for trial, runs in finished.items():
            groups[trial.only(*depends_on)] += runs
        for values, runs in groups.items():
            keys = defaultdict(list)
            for run in runs:
                keys[run.tags.get(name) or "(no hash)"].append(run.key)
            if len(keys) > 1:
                setting = " ".join(f"{field}={value}" for field, value in values if value != "")
                hashes = ", ".join(f"{sha[:12]} ({_runs(its_keys)})" for sha, its_keys in _most_first(keys))
                yield f"{setting} has {len(keys)} different {name}: {hashes}; {REMEDY[name]}"


def _made_by(name: str, runs: Iterable[Run]) -> Iterable[str]:
    keys, modules = defaultdict(list), {}
    for run in runs:
        maker = _code(run) if name == "code" else _versions(run)
        keys[maker].append(run.key)
        modules[maker] = modules_of(run.tags) if name == "code" else {}
    agreed: dict[str, list[str]] = {}  # the code of most runs, and any code that differs only in files not shared
    common: dict[str, str] = {}
    others = []
    for maker, its_keys in _most_first(keys):
        files = differing(common, modules[maker])
        if not agreed or files == []:
            agreed[maker], common = its_keys, {**common, **modules[maker]}
        else:
            others.append(f"{maker} made {_runs(its_keys)}{named(files)}: {', '.join(its_keys)}")
    if others:
        most = [key for its_keys in agreed.values() for key in its_keys]
        yield (
            f"different {name} made these trials: {' and '.join(agreed)} made {_runs(most)}; {'; '.join(others)}; "
            f"delete these runs and run the sweep again, or accept the difference with --accept-mixed {name}"
        )


def _code(run: Run) -> str:
    """The code that trained the run, or both versions if a trial began with one and continued with another."""
    codes = dict.fromkeys(run.tags.get(name, "") for name in ("code_sha256", "code_sha256_resumed"))
    return " then ".join(code[:12] for code in codes if code) or "(unknown)"


def _versions(run: Run) -> str:
    versions = run.tags.get("versions", "").split(", ")
    return ", ".join(v for v in versions if not v.startswith(NO_NUMBER)) or "(unknown)"


def _runs(keys: Collection[str]) -> str:
    return f"{len(keys)} run{'s' * (len(keys) > 1)}"


def _most_first(keys: Mapping[str, list[str]]) -> list[tuple[str, list[str]]]:
    return sorted(keys.items(), key=lambda item: -len(item[1]))
