"""What kind of failure a trial had, whether trying again can help, and when all of them have the same."""

from __future__ import annotations

import re
from collections import defaultdict

MAX_RETRIES = 2  # of one trial in one sweep; a next start of the sweep tries again
SAME_STOPS = 3  # so many trials with one traceback, and none that finished: it is not the trials' fault

# The first of these that a reason matches; what matches none is the code's, or the network's.
KINDS = {
    "memory": r"OutOfMemory|out of memory|MemoryError|\bOOM\b",
    "not finite": r"\bNotFinite:",
    "node": r"\bWrongEnvironment:",  # another may take the trial
    "storage": r"\bRemoteError:",
    "data": r"\b(CorpusError|BadAudio|LibsndfileError):",
    "start": r"\b(BackboneError|WrongWeights|MissingWeights|DamagedRecord):",
    "disk": r"No space left on device|Disk quota exceeded|File too large",
    "lost worker": r"^its worker was lost",
}
HOPELESS = {"not finite", "data", "start"}  # with the same seed and the same bytes the same would happen again


def kind_of(reason: str) -> str:
    """In a word or two."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, reason, re.MULTILINE)), "code")


def signature(reason: str) -> str:
    """What two failures of one cause have in common: where it was raised, and what; not numbers and keys in it."""
    places = re.findall(r'^  File "[^"]*?([^/"]+)", line (\d+)', reason, re.MULTILINE)
    last = (reason.strip().splitlines() or [""])[-1]
    return f"{places[-1:]} {re.sub(r'[0-9a-f]*[0-9][0-9a-f]*', '', last)}"


class Failures:
    """The failures of a sweep so far, while some of its trials are tried again."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}  # reason, by key
        self._alike: dict[str, set[str]] = defaultdict(set)  # keys, by what their failures have in common
        self._any_finished = False

    def starts(self, key: str) -> None:
        """An attempt at a trial starts: what the one before said is no reason of this one's."""
        self._last.pop(key, None)

    def lost(self, key: str, reason: str) -> str:
        """A trial's last attempt ended, without a word if its worker was lost; otherwise as `add`."""
        return "" if key in self._last else self.add(key, reason)

    def add(self, key: str, reason: str) -> str:
        """A trial failed, and may be tried again; says so when all fail alike, and is empty otherwise."""
        self._last[key] = reason
        alike = self._alike[signature(reason)]
        alike.add(key)
        if len(alike) < SAME_STOPS or self._any_finished:
            return ""
        return f"the first {len(alike)} trials failed alike, so no other was started; fix it:\n{reason.rstrip()}"

    def finished(self) -> None:
        """A trial has its result: the others' failures are their own."""
        self._any_finished = True

    def last(self, key: str, otherwise: str) -> str:
        """Why a trial failed that is not tried again, and which kind of failure that is."""
        reason = self._last.get(key, otherwise).rstrip()
        return f"{reason} ({kind_of(reason)})"
