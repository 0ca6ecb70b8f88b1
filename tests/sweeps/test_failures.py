"""Failures are classified by where and why they were raised: their kind, and whether others are the same."""

from __future__ import annotations

import traceback
from collections.abc import Callable

import pytest

from datasets.engine.corpus import CorpusError
from sweeps.engine.running.failures import HOPELESS, SAME_STOPS, Failures, kind_of, signature
from trainable.network.card import BackboneError
from trainable.result.metrics import NotFinite
from trainable.result.record import DamagedRecord
from trainable.weights.weights import WrongWeights

HANG = """its worker was lost: it made no step for 1800 s:
Timeout (0:30:00)!
Thread 0x00007f15fd7fa700 (most recent call first):
  File "/a/tree/trainable/finetune.py", line 121 in finetune
  File "/a/tree/trainable/trial.py", line 63 in run
"""
RAY = "its worker was lost: The actor died unexpectedly before finishing this task.\n\tclass_name: ImplicitFunc\n"
OOM_KILLER = (
    "its worker was lost: ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.\n"
)
CUDA = """Traceback (most recent call last):
  File "/a/tree/trainable/finetune.py", line 130, in finetune
    loss.backward()
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 139.72 GiB
"""
KEYS = ("3f1c9a7be204", "aa19d0c4e5f1", "0b6de2c7713a", "cafe12340999")


def raised(error: Exception) -> str:
    """The traceback of an error, as a worker sends it."""

    def inside() -> None:
        raise error

    try:
        inside()
    except Exception:
        return traceback.format_exc()
    raise AssertionError


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (CUDA, "memory"),
        (OOM_KILLER, "memory"),
        (raised(MemoryError()), "memory"),
        (raised(NotFinite("the training loss is nan in epoch 3, step 17; lower lr")), "not finite"),
        (raised(CorpusError("cache/clips/x: not a complete cache entry; delete it, and it is built again")), "data"),
        (raised(BackboneError("cnn99: there is no such network")), "start"),
        (raised(WrongWeights("best.pt: its SHA-256 is another")), "start"),
        (raised(DamagedRecord("record.json: is damaged")), "start"),
        (raised(OSError(28, "No space left on device")), "disk"),
        (raised(OSError(122, "Disk quota exceeded")), "disk"),
        (RAY, "lost worker"),
        (HANG, "lost worker"),
        (raised(ConnectionResetError(104, "Connection reset by peer")), "code"),
        (raised(KeyError("val_loss")), "code"),
        ("", "code"),
    ],
)
def test_a_failure_is_of_a_kind(reason: str, kind: str) -> None:
    """These are real tracebacks, and Ray's messages about a lost worker."""
    assert kind_of(reason) == kind


@pytest.mark.parametrize("folder", ["BLOOM", "ZOOM 2", "OOMPH"])
def test_a_folders_name_is_no_kind(folder: str) -> None:
    """A path in a traceback does not decide its kind."""
    assert kind_of(raised(KeyError("x")).replace("tests/", f"{folder}/")) == "code"


def test_only_what_would_fail_again_is_hopeless() -> None:
    """It has the same seed and bytes; after a full disk, a lost worker or an unknown error a retry may help."""
    assert {"not finite", "data", "start"} == HOPELESS


def of_trials(error: Callable[[str], Exception]) -> set[str]:
    """The signatures of one failure in four trials."""
    return {signature(raised(error(key))) for key in KEYS}


@pytest.mark.parametrize(
    "error",
    [
        lambda key: ValueError(f"lr=0.{int(key[:2], 16)}: too large at step {int(key[:3], 16)}"),
        lambda key: FileNotFoundError(2, "No such file", f"/storage/trials/{key}-{key[:8]}/epoch-0003.pt"),
        lambda key: RuntimeError(f"CUDA error: misaligned address 0x{key}"),
    ],
    ids=["numbers", "keys", "addresses"],
)
def test_one_cause_has_one_signature(error: Callable[[str], Exception]) -> None:
    """Numbers, keys and addresses differ from trial to trial; the place and the words do not."""
    assert len(of_trials(error)) == 1


def test_other_causes_have_other_signatures() -> None:
    """They have another type, message or place, or lost the worker in another way."""
    elsewhere = raised(ValueError("odd"))
    elsewhere = elsewhere.replace(", in inside", ", in another").replace("test_failures.py", "trial.py")
    others = [raised(ValueError("odd")), raised(KeyError("odd")), raised(ValueError("even")), elsewhere, RAY, CUDA, ""]
    assert len({signature(reason) for reason in others}) == len(others)


def failing(failures: Failures, *keys: str, error: str = "the same") -> list[str]:
    """The messages about the failures of some trials, one after another."""
    return [failures.add(key, raised(RuntimeError(f"{error} in {key}"))) for key in keys]


def test_three_alike_stop_the_sweep() -> None:
    """Two do not; the whole traceback is given."""
    *before, third = failing(Failures(), *KEYS[:SAME_STOPS])
    assert before == ["", ""]
    assert third.startswith("the first 3 trials failed alike")
    assert "in inside" in third
    assert third.endswith(f"RuntimeError: the same in {KEYS[2]}")


def test_one_trial_alone_stops_nothing() -> None:
    """That is so however often it is tried again."""
    assert failing(Failures(), *[KEYS[0]] * 5) == [""] * 5


def test_three_that_differ_stop_nothing() -> None:
    """Each has its own reason."""
    failures = Failures()
    for key, error in zip(KEYS, ("the first", "the second", "the third"), strict=False):
        assert failing(failures, key, error=error) == [""]


def test_a_finished_trial_shows_that_it_can_be_done() -> None:
    """After it, any number may fail alike."""
    failures = Failures()
    failures.finished()
    assert failing(failures, *KEYS) == [""] * 4


def test_the_last_reason_is_given_with_its_kind() -> None:
    """Without one, the driver gives the reason that it knows."""
    failures = Failures()
    failing(failures, KEYS[0])
    failures.add(KEYS[0], CUDA)
    assert failures.last(KEYS[0], "").endswith("139.72 GiB (memory)")
    assert failures.last(KEYS[1], RAY).endswith("class_name: ImplicitFunc (lost worker)")


def test_an_attempt_that_is_lost_has_its_own_reason() -> None:
    """The reason of the previous attempt is forgotten at its start, and a reason given since then counts."""
    failures = Failures()
    failing(failures, KEYS[0])
    failures.starts(KEYS[0])
    failures.lost(KEYS[0], RAY)
    assert failures.last(KEYS[0], "").endswith("(lost worker)")


def test_an_attempt_that_said_why_is_not_lost() -> None:
    """Ray's own message about a failed trial comes later, and does not replace the trial's."""
    failures = Failures()
    failures.starts(KEYS[0])
    failing(failures, KEYS[0])
    assert failures.lost(KEYS[0], RAY) == ""
    assert failures.last(KEYS[0], "").endswith("(code)")


def test_three_lost_workers_stop_the_sweep() -> None:
    """They share a cause, which is not in the trials."""
    failures = Failures()
    messages = []
    for key in KEYS[:SAME_STOPS]:
        failures.starts(key)
        messages.append(failures.lost(key, RAY))
    assert messages[:-1] == ["", ""]
    assert messages[-1].startswith("the first 3 trials failed alike")
