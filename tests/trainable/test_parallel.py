"""Several devices give the result of one, and if one of them is lost, the trial ends with the reason."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from datasets.engine import manifest, prepare, splits
from datasets.engine.prepare import Source, Wanted
from datasets.synthetic.esc50 import write as write_esc50
from sweeps.recipes.mohammadi import RATES
from tests.trainable.drawing import draw
from trainable import trial
from trainable.config import TrialConfig
from trainable.device import together
from trainable.device.parallel import ALONE, LostDevice, Team, lead
from trainable.device.place import Place
from trainable.device.together import Share
from trainable.examples import Examples
from trainable.finetune import Row, finetune, take_part
from trainable.learning.augmentation import NOTHING
from trainable.network.backbone import Backbone
from trainable.network.networks import start_network
from trainable.result import record

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CNN14 = RATES.but(
    corpus="toy", pretrain_hz=8_000, data_hz=8_000, clip_s=0.4, weights="none", width=1 / 32, lr=1e-3, batch=4, epochs=3
)
MOBILENET = dataclasses.replace(
    CNN14, backbone="timm/mobilenetv3_large_100.ra_in1k", augment="specaugment", width=1 / 8, batch=8
)
NUM_CLASSES = 3


class Stopped(Exception):
    """Ends a trial in the middle."""


def toy(config: TrialConfig, clips: int = 21, seed: int = 0) -> Examples:
    """Noise around a level that depends on the class."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(clips) % NUM_CLASSES
    level = torch.linspace(-1, 1, NUM_CLASSES)[labels, None, None]
    inputs = (-30 + 5 * level + 5 * torch.randn(clips, config.num_frames, 64, generator=random)).half()
    return Examples(inputs, labels, np.array([str(n) for n in range(clips)]), np.zeros(clips, dtype=int))


def precise(config: TrialConfig) -> Backbone:
    """A network in double precision.

    In single precision, the normalisation of one device is off by 2e-5 in the channels_last layout, which three epochs
    of Adam turn into 3 % of the loss: as much as the difference between one thread and two.
    """
    network = start_network(config, NUM_CLASSES, None).double().to(memory_format=torch.channels_last)
    network.register_forward_pre_hook(lambda module, args: (args[0].double(), *args[1:]))
    network.register_forward_hook(lambda module, args, logits: logits.float())
    return network


def follow(config: TrialConfig, folder: Path, micro_batches: int, team: Team) -> None:
    torch.set_num_threads(1)
    take_part(config, precise(config), toy(config), folder, micro_batches, team)


class Outcome(NamedTuple):
    """The results of a trial: its losses and its weights."""

    losses: list[float]
    weights: dict[str, Tensor]


def run(
    config: TrialConfig,
    folder: Path,
    size: int,
    micro_batches: int = 1,
    report: Callable[[Row], None] = lambda row: None,
) -> Outcome:
    with lead(size, partial(follow, config, folder, micro_batches), hang_s=300) as team:
        network = precise(config)
        validation = toy(config, 10, seed=1)
        history = finetune(config, network, toy(config), validation, folder, report, micro_batches, team)
    return Outcome([row[name] for row in history for name in ("train_loss", "val_loss")], network.state_dict())


def assert_same(one: Outcome, other: Outcome) -> None:
    """Asserts equality up to the rounding of losses, which are in single precision."""
    assert one.losses == pytest.approx(other.losses, rel=1e-6)
    for name, value in one.weights.items():
        torch.testing.assert_close(value, other.weights[name], rtol=1e-6, atol=1e-8)


@pytest.fixture(autouse=True, scope="module")
def _forked() -> Iterator[None]:
    """Others are forks of a process that has loaded PyTorch and done nothing else: 6 s of CPU for each of them."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__, "torch._dynamo"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda method: server)
        yield


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A trial on two devices."""
    return run(CNN14, tmp_path_factory.mktemp("two"), 2)


def test_two_devices_end_as_one(tmp_path: Path, two: Outcome) -> None:
    """Losses and weights are those of one process, with all dropout, masks and mixtures; another seed differs."""
    assert_same(two, run(CNN14, tmp_path / "one", 1))
    assert run(dataclasses.replace(CNN14, seed=2), tmp_path / "other", 1).losses != pytest.approx(two.losses, rel=1e-3)


def test_batches_need_not_divide(tmp_path: Path, two: Outcome) -> None:
    """Three devices share batches of 4, 4 and 2 samples, so one of them has no own sample in the last step."""
    assert_same(run(CNN14, tmp_path, 3), two)


def test_a_network_of_timm_is_shared_too(tmp_path: Path) -> None:
    """Its normalisations are not torch's layers; the batches have 8, 8 and 5 samples."""
    assert_same(run(MOBILENET, tmp_path / "two", 2), run(MOBILENET, tmp_path / "one", 1))


def test_half_batches_are_shared(tmp_path: Path, two: Outcome) -> None:
    """Each half is normalised as on one device, which differs from training with whole batches."""
    halves = run(CNN14, tmp_path / "two", 2, micro_batches=2)
    assert_same(halves, run(CNN14, tmp_path / "one", 1, micro_batches=2))
    assert halves.losses != pytest.approx(two.losses, rel=1e-4)


def test_a_trial_that_was_cut_off_ends_with_the_same_bits(tmp_path: Path, two: Outcome) -> None:
    """All its devices continue after the last saved epoch."""

    def stop(row: Row) -> None:
        if row["epoch"] == 2:
            raise Stopped

    with pytest.raises(Stopped):
        run(CNN14, tmp_path, 2, report=stop)
    resumed = run(CNN14, tmp_path, 2)
    assert resumed.losses == two.losses
    assert all(torch.equal(value, two.weights[name]) for name, value in resumed.weights.items())


@pytest.mark.parametrize("size", [1, 2, 3, 8])
@pytest.mark.parametrize("num_samples", [1, 2, 3, 7, 32])
def test_shares_are_the_batch(num_samples: int, size: int) -> None:
    """Shares are in order and about equal; each device has a sample, even if another one counts it."""
    shares = [Team(rank, size).share(num_samples) for rank in range(size)]
    counted = [share for share in shares if share.num_counted]
    rows = [row for share in counted for row in range(2 * num_samples)[share.rows(2 * num_samples)]]
    assert rows == list(range(2 * num_samples))
    assert sum(share.num_counted for share in shares) == num_samples
    assert max(s.num_counted for s in shares) - min(s.num_counted for s in shares) <= 1
    assert all(0 <= share.first < share.end <= num_samples for share in shares)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("each", [1, 3])
def test_dropout_is_that_of_the_batch(layout: torch.memory_format, each: int) -> None:
    """Shares drop the same as the whole batch, with one row per sample or several."""
    x = torch.rand(5 * each, 4, 6, 2).to(memory_format=layout) + 1

    def seeded(draw: Callable[[], Tensor]) -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return draw()

    shares = [Team(rank, 3).share(5) for rank in range(3)]
    parts = [seeded(partial(together.dropout, share, x[share.rows(len(x))], 0.4)) for share in shares]
    expected = seeded(partial(F.dropout, x, 0.4))
    assert torch.equal(torch.cat(parts), expected)
    assert 0.2 < (expected == 0).double().mean() < 0.6


def test_what_was_drawn_is_cut_into_the_shares() -> None:
    """Masks belong to clips and mixtures to pairs; without draws there is nothing to share."""
    drawn = draw("specaugment+mixup", 10, 20, 16, time_width=9, generator=torch.Generator().manual_seed(0))
    x = torch.rand(10, 1, 20, 16)
    shares = [Team(rank, 2).share(5) for rank in range(2)]
    parts = [share.of(drawn)(x[share.rows(10)]) for share in shares]
    assert torch.equal(torch.cat(parts), drawn(x))
    assert shares[0].of(NOTHING) == NOTHING


def test_one_device_is_left_alone() -> None:
    """There is no other process and no group, and torch's functions are unchanged."""
    with lead(1, fails) as team:
        assert team is ALONE
        assert not dist.is_initialized()
    assert ALONE.share(5) == Share(0, 5, 5, 5, 1)
    with ALONE.share(5).as_one_batch() as mode:
        assert mode is None


def waits(team: Team) -> None:
    for _ in team.epochs():
        dist.all_reduce(torch.ones(1))


def fails(team: Team) -> None:
    raise ValueError("no such clip")


def fails_later(team: Team) -> None:
    for _ in team.epochs():
        raise ValueError("no such clip")


def dies(team: Team) -> None:
    for _ in team.epochs():
        os.kill(os.getpid(), signal.SIGKILL)


def hangs(team: Team) -> None:
    for _ in team.epochs():
        time.sleep(600)


def led(follow: Callable[[Team], None], then: Callable[[Team], None], hang_s: float = 60) -> None:
    """Makes a step on two devices; then the leader does something more."""
    with lead(2, follow, hang_s) as team:
        team.begin(1)
        dist.all_reduce(torch.ones(1))
        then(team)


@pytest.mark.parametrize(
    ("follow", "reason"),
    [
        (fails, "(?s)^device 1 of 2 failed: .*ValueError: no such clip$"),
        (fails_later, "(?s)^device 1 of 2 failed: .*ValueError: no such clip$"),
        (dies, "^device 1 of 2 ended with exit code -9$"),
        (hangs, "(?s)^device 1 of 2 ended with exit code 1; it hung here:\nTimeout.* in hangs"),
    ],
)
def test_a_lost_device_ends_the_trial_with_its_reason(follow: Callable[[Team], None], reason: str) -> None:
    """A device may fail before training or in it, be killed or hang; no process is left."""
    with pytest.raises(LostDevice, match=reason):
        led(follow, lambda team: None, hang_s=6 if follow is hangs else 300)
    assert not multiprocessing.active_children()
    assert not dist.is_initialized()


def test_a_device_lost_in_an_epoch_is_missed_at_its_end() -> None:
    """A GPU that stops waiting for it returns worthless numbers, so this must be an error."""

    def lose_it(team: Team) -> None:
        (other,) = multiprocessing.active_children()
        other.kill()
        while not team.pipes[0].poll():
            time.sleep(0.01)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dist, "all_reduce", lambda values: None)
            team.add_up(torch.ones(3))

    with pytest.raises(LostDevice, match=r"^device 1 of 2 ended with exit code -9$"):
        led(waits, lose_it)


@pytest.mark.parametrize("error", [KeyError("mine"), RuntimeError("mine"), KeyboardInterrupt()])
def test_the_leaders_own_error_is_its_own(error: BaseException) -> None:
    """It is raised unchanged, and the others end too."""

    def fail(team: Team) -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        led(waits, fail)
    assert caught.value is error
    assert not multiprocessing.active_children()
    assert not dist.is_initialized()


def test_the_others_end_with_a_leader_that_is_killed() -> None:
    """A worker that Ray kills leaves no process on the node, whatever those wait for."""
    program = (
        "import multiprocessing, time\n"
        "from tests.trainable.test_parallel import hangs, lead\n"
        "with lead(2, hangs) as team:\n"
        "    team.begin(1)\n"
        "    print(multiprocessing.active_children()[0].pid, flush=True)\n"
        "    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE) as leader:
        assert leader.stdout
        other = int(leader.stdout.readline())
        assert is_running(other)
        leader.kill()
    deadline = time.monotonic() + 120
    while is_running(other) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(other)


def is_running(pid: int) -> bool:
    """Whether the process exists and has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_trial_on_two_devices_says_so(tmp_path: Path) -> None:
    """The scores in its record are those of a trial on one device, up to rounding."""
    config = dataclasses.replace(CNN14, corpus="esc50", split="published", clip_s=1.0, width=1 / 64, batch=8, epochs=1)
    write_esc50(tmp_path / "audio", num_classes=2, rate_hz=16_000)
    source = Source(tmp_path / "audio", tmp_path / "cache")
    prepared = prepare.prepare(Wanted("esc50", (), "published", config.clip_s), source)
    (clips,) = prepare.clips(prepared, [config.data_hz], config.clip_s, source).values()
    split, scan = splits.write(prepared.split, tmp_path / "splits"), manifest.write(prepared.scan, tmp_path / "scans")
    records: list[Any] = []
    for num_devices in (1, 2):
        place = Place(clips, split, None, tmp_path / str(num_devices), scan=scan, num_devices=num_devices)
        scores = trial.run(config, place, lambda row: None)
        committed = record.read(place.folder)
        assert committed
        assert committed.provenance["num_devices"] == str(num_devices)
        records.append((scores["test_loss"], committed.history[0]["train_loss"]))
    assert records[1] == pytest.approx(records[0], rel=1e-3)
