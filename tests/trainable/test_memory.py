"""A process that runs trials keeps the memory that a step has freed, and returns it after a trial."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from trainable.device.memory import VARIABLE, environment

SIZE = 256 * 2**20
PROGRAM = f"""
import resource
from trainable.device.memory import give_back

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

def use():
    took = bytearray({SIZE})
    took[::4096] = b"1" * len(took[::4096])

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

use()
kept, before = resident(), faults()
use()
again = faults() - before
give_back()
print(kept, again, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the settings are those of GNU's C library")
class TestMemory:
    def figures(self, settings: dict[str, str]) -> tuple[int, int, int]:
        """Bytes held after freeing 256 MB, page faults when taking them again, and bytes held after giving back."""
        plain = {name: value for name, value in os.environ.items() if name != VARIABLE}
        ran = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            cwd=Path(__file__).parents[2],
            env=plain | settings,
            capture_output=True,
            text=True,
            check=True,
        )
        kept, again, given_back = map(int, ran.stdout.split())
        return kept, again, given_back

    def test_what_was_freed_is_kept_for_the_next_step(self) -> None:
        """The system does not clear the memory again, page by page."""
        kept, faults, _ = self.figures(environment())
        assert kept > SIZE
        assert faults < 100

    def test_it_is_given_back_after_a_trial(self) -> None:
        """All memory is returned except what Python itself holds."""
        kept, _, given_back = self.figures(environment())
        assert given_back < kept - 0.9 * SIZE

    def test_without_the_settings_each_step_would_take_it_anew(self) -> None:
        """This is malloc's default, so the first test can fail."""
        kept, faults, _ = self.figures({})
        assert kept < SIZE
        assert faults > 100


def test_the_users_own_settings_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our settings appear once, however often they are added."""
    monkeypatch.setenv(VARIABLE, "glibc.rtld.optional_static_tls=4096:glibc.malloc.arena_max=8")
    settings = environment()[VARIABLE]
    assert settings.startswith("glibc.rtld.optional_static_tls=4096:glibc.malloc.arena_max=1:")
    monkeypatch.setenv(VARIABLE, settings)
    assert environment()[VARIABLE] == settings
