"""One trial on several devices of a machine: each takes a share of every batch, and all end as one alone would.

The first leads: it runs the trial as one alone does, and is the only one that predicts, keeps and reports. Each other
device has a process that follows it through the epochs' steps. All hold the same network, because they start from the
same files and add up their gradients before every step.
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

# Of the time after which a worker counts as hung: the leader must be there to say which of the others was it.
PATIENCE = 0.9
LAST_WORDS_S = 5.0  # that the others have to say why, once the leader has noticed that something is wrong


class LostDevice(RuntimeError):
    """A device's process that failed, died or hung, and with it the trial."""


@dataclass(frozen=True)
class Team:
    """The devices of one trial, as one of them sees it; alone, each method leaves everything as it is."""

    rank: int = 0  # 0 leads
    size: int = 1
    pipes: tuple[Connection, ...] = ()  # the leader's to all others; another's to the leader
    meeting: Path = Path()  # a folder of their own
    hang_s: float = 1_800

    def begin(self, epoch: int) -> None:
        """Has the others train an epoch, once they are ready; what the leader does itself must follow."""
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
        """The epochs that the leader begins, until it has no more."""
        (leader,) = self.pipes
        leader.send("")  # ready
        self._meet()
        with suppress(EOFError):
            while True:
                while not leader.poll(1):
                    beat()
                yield leader.recv()

    def share(self, num_samples: int) -> Share:
        """What this device takes of so many samples; shares differ by one sample at most."""
        first, end = (num_samples * rank // self.size for rank in (self.rank, self.rank + 1))
        if first < end:
            return Share(first, end, num_samples, end - first, self.size)
        first = min(first, num_samples - 1)  # fewer samples than devices: it takes one that another counts
        return Share(first, first + 1, num_samples, 0, self.size)

    def add_gradients(self, network: nn.Module) -> None:
        """Puts the sum of all devices' gradients in the place of this one's."""
        if self.size == 1:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        total = torch.cat([gradient.flatten() for gradient in gradients])  # one message: hundreds would each take time
        dist.all_reduce(total)
        for gradient, summed in zip(gradients, total.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(summed.view_as(gradient))

    def add_up(self, losses: Tensor) -> Tensor:
        """The sum of all devices' losses, when every step that led to them has been made everywhere.

        Raises:
            ConnectionError: if one of the others is lost: what has been computed since is worth nothing.
        """
        if self.size == 1:
            return losses
        dist.all_reduce(losses)
        found = losses.cpu()  # waits for the device
        if self.rank == 0 and any(pipe.poll() for pipe in self.pipes):  # they speak only when they fail
            raise ConnectionError("another device is lost")
        return found

    def _meet(self) -> None:
        dist.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo",
            store=dist.FileStore(str(self.meeting / "store"), self.size),  # a TCP store would listen to the network
            rank=self.rank,
            world_size=self.size,
            timeout=timedelta(seconds=2 * self.hang_s),  # the watchdogs come first: they say more
        )


ALONE = Team()


@contextmanager
def lead(size: int, follow: Callable[[Team], None], hang_s: float = 1_800) -> Iterator[Team]:
    """The team of `size` devices whose leader this process is, until the end of the block.

    Args:
        follow: what each of the others does, in a process of its own; it can be pickled, and goes through
            `Team.epochs`.
        hang_s: one of them that makes no step for about so long is ended.

    Raises:
        LostDevice: if one of them fails, dies or hangs, with what it said or where it stood.
    """
    if size == 1:
        yield ALONE
        return
    for backend in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{backend}_SOCKET_IFNAME", "lo")  # they are on one machine
    context, over = multiprocessing.get_context("spawn"), threading.Event()
    with tempfile.TemporaryDirectory(prefix="soundings-") as folder:
        ours, theirs = zip(*(context.Pipe() for _ in range(1, size)), strict=True)
        others: list[BaseProcess] = []
        for rank, pipe in enumerate(theirs, start=1):
            team = Team(rank, size, (pipe,), Path(folder), hang_s)
            others.append(context.Process(target=_member, args=(team, follow), daemon=True))
            others[-1].start()
            pipe.close()  # so that nothing is left to read from once its process has ended
        guard = threading.Thread(target=_abort_when_one_ends, args=(others, over), daemon=True)
        guard.start()
        try:
            yield Team(0, size, ours, Path(folder), hang_s)
        except LostDevice:
            raise
        except (RuntimeError, OSError, EOFError) as error:
            if words := _last_words(ours, others, Path(folder)):
                raise LostDevice("\n".join(words)) from error
            raise
        finally:
            over.set()
            _disband(others)
            guard.join()


def _member(team: Team, follow: Callable[[Team], None]) -> None:
    """The whole life of a process that follows."""
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
    os._exit(1)  # a process that waits for the leader's device cannot be asked


def _abort_when_one_ends(others: list[BaseProcess], over: threading.Event) -> None:
    """Frees the leader from what it waits for: a GPU waits for a dead one's share until the time is up."""
    connection.wait([process.sentinel for process in others])
    if not over.is_set():
        _abort()


def _last_words(pipes: tuple[Connection, ...], others: list[BaseProcess], folder: Path) -> list[str]:
    """What went wrong with the others, of each one that failed or ended; empty if it was not they."""
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
            if words:  # what the others say now follows from it
                deadline = min(deadline, time.monotonic() + 1)
        time.sleep(0.05)
    return [words[rank] for rank in sorted(words)]


def _disband(others: list[BaseProcess]) -> None:
    if _abort():  # alone: to take leave of each other they would all have to be there
        dist.destroy_process_group()
    for process in others:
        process.kill()  # they have nothing to keep
        process.join()
        process.close()


def _abort() -> bool:
    """Ends what this process waits for from the others' devices; whether they had met."""
    if not (dist.is_initialized() and (group := dist.group.WORLD)):
        return False
    group.abort()
    return True


def _stacks(folder: Path, rank: int) -> Path:
    return folder / f"stacks-{rank}.txt"
