"""Runs one trial on several devices of a machine; each takes a share of every batch, and the result stays the same.

The first device leads: it runs the trial like a single device, and only it predicts, saves and reports. Each other
device has a process that follows the leader through the steps of the epochs. All devices hold the same network, because
they start from the same files and add up their gradients before every step.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from trainable.device.together import Share
from trainable.device.watchdog import beat, watch

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from torch import Tensor, nn

# The other devices use this fraction of the time after which a worker counts as hung, so that the leader still runs
# and can say which of them hung.
PATIENCE = 0.9
LAST_WORDS_S = 5.0  # time for the others to send their reasons once the leader has noticed a fault


class LostDevice(RuntimeError):
    """The process of a device failed, died or hung, and the trial with it."""


@dataclass(frozen=True)
class Team:
    """The devices of one trial, as seen by one of them; for a single device, no method changes anything."""

    rank: int = 0  # 0 leads
    size: int = 1
    pipes: tuple[Connection, ...] = ()  # of the leader, to all others; of another device, to the leader
    meeting: Path = Path()  # a folder for the team alone
    hang_s: float = 1_800

    def begin(self, epoch: int) -> None:
        """Makes the others train an epoch once they are ready; the leader must train it too, after this call.

        Raises:
            LostDevice: if another device failed before its first epoch.
        """
        if self.size > 1 and not dist.is_initialized():
            for rank, pipe in enumerate(self.pipes, start=1):
                while not pipe.poll(1):
                    beat()
                if word := pipe.recv():
                    raise LostDevice(f"device {rank} of {self.size} failed: {word.rstrip()}")
            self._meet()
        for pipe in self.pipes:
            pipe.send(epoch)

    def epochs(self) -> Iterator[int]:
        """Yields the epochs that the leader begins, until there are no more."""
        (leader,) = self.pipes
        leader.send("")  # ready
        self._meet()
        with suppress(EOFError):
            while True:
                while not leader.poll(1):
                    beat()
                yield leader.recv()

    def share(self, num_samples: int) -> Share:
        """The share of this device in a batch of `num_samples`; shares differ by at most one sample."""
        first, end = (num_samples * rank // self.size for rank in (self.rank, self.rank + 1))
        if first < end:
            return Share(first, end, num_samples, end - first, self.size)
        first = min(first, num_samples - 1)  # fewer samples than devices: take one that another device counts
        return Share(first, first + 1, num_samples, 0, self.size)

    def add_gradients(self, network: nn.Module) -> None:
        """Replaces the gradients of this device by their sum over all devices."""
        if self.size == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        total = torch.cat([gradient.flatten() for gradient in gradients])  # one message is faster than hundreds
        dist.all_reduce(total)
        for gradient, summed in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def add_up(self, losses: Tensor) -> Tensor:
        """The sum of the losses of all devices, once all of them have made every step.

        Raises:
            ConnectionError: if another device is lost: the results since then are worthless.
        """
        if self.size == 1:
            return losses
        dist.all_reduce(losses)
        total = losses.cpu()  # waits for the device
        if self.rank == 0 and any(pipe.poll() for pipe in self.pipes):  # they send something only when they fail
            raise ConnectionError("another device is lost")
        return total

    def _meet(self) -> None:
        dist.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            store=dist.FileStore(str(self.meeting / "store"), self.size),  # a TCP store would listen on the network
            rank=self.rank,
            world_size=self.size,
            timeout=timedelta(seconds=2 * self.hang_s),  # the watchdogs act first, because they say more
        )


ALONE = Team()


@contextmanager
def lead(size: int, follow: Callable[[Team], None], hang_s: float = 1_800) -> Iterator[Team]:
    """Starts a team of `size` devices, led by this process until the end of the block.

    Args:
        follow: the work of each other device, in a separate process; it must be picklable, and goes through
            `Team.epochs`.
        hang_s: a device that makes no step for about this long is ended [s].

    Raises:
        LostDevice: if another device fails, dies or hangs, with its error or its stack.
    """
    if size == 1:
        yield ALONE
        return
    for backend in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{backend}_SOCKET_IFNAME", "lo")  # they are on one machine
    context, over = multiprocessing.get_context("spawn"), threading.Event()
    with tempfile.TemporaryDirectory(prefix="soundings-") as folder:
        leader_ends, member_ends = zip(*(context.Pipe() for _ in range(1, size)), strict=True)
        others: list[BaseProcess] = []
        for rank, pipe in enumerate(member_ends, start=1):
            team = Team(rank, size, (pipe,), Path(folder), hang_s)
            others.append(context.Process(target=_member, args=(team, follow), daemon=True))
            others[-1].start()
            pipe.close()  # so that the pipe ends when its process ends
        guard = threading.Thread(target=_abort_when_one_ends, args=(others, over), daemon=True)
        guard.start()
        try:
            yield Team(0, size, leader_ends, Path(folder), hang_s)
        except LostDevice:
            raise
        except (RuntimeError, OSError, EOFError) as error:
            if words := _last_words(leader_ends, others, Path(folder)):
                raise LostDevice("\n".join(words)) from error
            raise
        finally:
            over.set()
            _disband(others)
            guard.join()


def _member(team: Team, follow: Callable[[Team], None]) -> None:
    """Runs a following process from start to end."""
    threading.Thread(target=_end_with_leader, daemon=True).start()
    if torch.cuda.is_available():
        torch.cuda.set_device(team.rank)
    try:
        with watch(PATIENCE * team.hang_s, _stacks(team.meeting, team.rank)):
            follow(team)
    except BaseException:
        team.pipes[0].send(traceback.format_exc())
        raise SystemExit(1) from None


def _end_with_leader() -> None:
    leader = multiprocessing.parent_process()
    assert leader
    leader.join()
    os._exit(1)  # a process that waits for the leader's device cannot end in another way


def _abort_when_one_ends(others: list[BaseProcess], over: threading.Event) -> None:
    """Aborts the leader's waiting as soon as another process ends; else it would wait until the timeout."""
    connection.wait([process.sentinel for process in others])
    if not over.is_set():
        _abort()


def _last_words(pipes: tuple[Connection, ...], others: list[BaseProcess], folder: Path) -> list[str]:
    """The fault of each other device that failed or ended; empty if none did."""
    deadline, words = time.monotonic() + LAST_WORDS_S, dict[int, str]()
    while time.monotonic() < deadline and len(words) < len(others):
        for rank, (pipe, process) in enumerate(zip(pipes, others, strict=True), start=1):
            if rank in words:
                continue
            with suppress(EOFError, OSError):
                if pipe.poll() and (word := pipe.recv()):
                    words[rank] = f"device {rank} of {len(others) + 1} failed: {word.rstrip()}"
            if rank not in words and process.exitcode is not None:
                stacks = _stacks(folder, rank)
                stood = f"; it hung here:\n{text}" if stacks.exists() and (text := stacks.read_text()) else ""
                words[rank] = f"device {rank} of {len(others) + 1} ended with exit code {process.exitcode}{stood}"
            if words:  # later faults follow from the first
                deadline = min(deadline, time.monotonic() + 1)
        time.sleep(0.05)
    return [words[rank] for rank in sorted(words)]


def _disband(others: list[BaseProcess]) -> None:
    if _abort():  # abort first, because an orderly shutdown would need every process
        dist.destroy_process_group()
    for process in others:
        process.kill()  # they have nothing to save
        process.join()
        process.close()


def _abort() -> bool:
    """Aborts this process's waiting for the other devices; returns whether the group existed."""
    if not (dist.is_initialized() and (group := dist.group.WORLD)):
        return False
    group.abort()
    return True


def _stacks(folder: Path, rank: int) -> Path:
    return folder / f"stacks-{rank}.txt"
