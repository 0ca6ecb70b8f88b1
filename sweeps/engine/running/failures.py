"""The kinds of failures of trials, whether trying again can help, and whether all trials fail alike."""

from __future__ import annotations

import re
from collections import defaultdict

MAX_RETRIES = 2  # of one trial per start of the sweep; the next start tries again
SAME_STOPS = 3  # trials with the same traceback, before any finishes, show that the fault is not in the trials

# The first pattern that a reason matches decides; a reason that matches none is a failure of the code or the network.
KINDS = {
    "memory": r"OutOfMemory|out of memory|MemoryError|\bOOM\b",
    "not finite": r"\bNotFinite:",
    "node": r"\bWrongEnvironment:",  # another node may take the trial
    "storage": r"\bRemoteError:",
    "data": r"\b(CorpusError|BadAudio|LibsndfileError):",
    "start": r"\b(BackboneError|WrongWeights|MissingWeights|DamagedRecord):",
    "disk": r"No space left on device|Disk quota exceeded|File too large",
    "lost worker": r"^its worker was lost",
}
HOPELESS = {"not finite", "data", "start"}  # the same seed and the same bytes would fail in the same way again


def kind_of(reason: str) -> str:
    """The kind of failure, a key of KINDS, or "code"."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, reason, re.MULTILINE)), "code")


def signature(reason: str) -> str:
    """The common part of failures with the same cause: the place and the error, without numbers and keys."""
    places = re.findall(r'^  File "[^"]*?([^/"]+)", line (\d+)', reason, re.MULTILINE)
    last = (reason.strip().splitlines() or [""])[-1]
    return f"{places[-1:]} {re.sub(r'[0-9a-f]*[0-9][0-9a-f]*', '', last)}"


class Failures:
    """The failures of a sweep so far, some of whose trials are tried again."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}  # the last reason, by key
        self._alike: dict[str, set[str]] = defaultdict(set)  # the keys of trials, by the signature of their failures
        self._any_finished = False

    def starts(self, key: str) -> None:
        """Notes the start of an attempt; the reason of the previous one no longer applies."""
        self._last.pop(key, None)

    def lost(self, key: str, reason: str) -> str:
        """Notes the end of a trial's last attempt; if it gave no reason itself, the result is that of `add`."""
        return "" if key in self._last else self.add(key, reason)

    def add(self, key: str, reason: str) -> str:
        """Notes a failure of a trial that may be tried again; returns a message if all trials fail alike, else ""."""
        self._last[key] = reason
        alike = self._alike[signature(reason)]
        alike.add(key)
        if len(alike) < SAME_STOPS or self._any_finished:
            return ""
        return f"the first {len(alike)} trials failed alike, so no other was started; fix it:\n{reason.rstrip()}"

    def finished(self) -> None:
        """Notes that a trial finished, so that failures of others do not count as alike."""
        self._any_finished = True

    def last(self, key: str, otherwise: str) -> str:
        """The reason of a trial that is not tried again, with the kind of failure."""
        reason = self._last.get(key, otherwise).rstrip()
        return f"{reason} ({kind_of(reason)})"
