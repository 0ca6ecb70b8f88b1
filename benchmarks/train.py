"""Measures training beside the usual way: Lightning, torchlibrosa in the network, SpecAugment in a loop.

    python -m benchmarks.train [--rounds 3] [--steps 2] [--json FILE]

Both sides train the same network, from the same weights, on the same clips, with the same batch size; ours in the
precision that the row names, the peer in float32. The figures are CPU times with one thread, plus those of the loader's
workers (including their start, which is half a percent); the sides take turns, and medians over the rounds are shown.
Ours makes its log-mels once per trial, which is not counted, and the peer makes them in every step. The peer's
validation and logging to files are not counted either. The peer runs in a separate process with default settings, ours
in a process like a trial's worker. A second row shows the effect of that: ours beside ours with default settings.
"""

from __future__ import annotations

import logging
import resource
import statistics
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.measured import Row, against, as_a_worker, as_it_comes, parser, show
from benchmarks.peers import PeersAugmentation, PeersFrontEnd, with_usual_layers
from sweeps.recipes.mohammadi import RATES
from trainable import finetune
from trainable.config import TrialConfig
from trainable.examples import Examples
from trainable.learning.learner import ready_learner
from trainable.network.backbone import Backbone
from trainable.network.frontend import logmel
from trainable.network.networks import laid_out, start_network

NUM_CLASSES = 4
WORKERS = 2  # of the peer's loader, on two cores
PEER = "Lightning + torchlibrosa, float32"


@dataclass(frozen=True)
class Case:
    """A network with the rate of its clips, the batch size, the precision and the goal."""

    backbone: str
    data_hz: int
    batch: int
    precision: str
    goal: float | None


CASES = (
    Case("cnn14", 8_000, 8, "float32", 1.3),
    Case("cnn14", 8_000, 8, "bfloat16", 1.8),
    Case("mobilenetv1", 32_000, 16, "bfloat16", 4.0),
    Case("timm/mobilenetv3_large_100.ra_in1k", 32_000, 16, "float32", 1.8),
    Case("timm/mobilenetv3_large_100.ra_in1k", 32_000, 16, "bfloat16", None),
    Case("timm/convnextv2_tiny.fcmae", 32_000, 4, "bfloat16", 1.7),
)


def trial(case: Case, width: float = 1.0) -> TrialConfig:
    """The study's trial for a case, with random weights."""
    return RATES.but(
        backbone=case.backbone,
        data_hz=case.data_hz,
        weights="none",
        width=width,
        batch=case.batch,
        precision=case.precision,
    )


def noise(config: TrialConfig, num_clips: int) -> torch.Tensor:
    """Waveforms of noise, (clips, samples)."""
    return 0.1 * torch.randn(num_clips, config.num_samples, generator=torch.Generator().manual_seed(0))


class Peer(lightning.LightningModule):
    """The usual module: every step goes from waveforms to the loss, in float32, with Adam's defaults."""

    def __init__(self, config: TrialConfig, network: Backbone) -> None:
        super().__init__()
        self.config, self.network = config, network
        self.front_end, self.augmentation = PeersFrontEnd(config.card.front_end), PeersAugmentation(config)
        self.marks: list[float] = []

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        """The loss of one batch."""
        changed = self.augmentation.draw(len(batch["wave"]))
        logits = self.network(self.front_end(batch["wave"]), changed)
        targets = changed.mix(F.one_hot(batch["label"], NUM_CLASSES).float())
        loss = F.cross_entropy(logits, targets)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with its default settings."""
        return torch.optim.Adam(self.network.parameters(), lr=self.config.lr)

    def on_train_batch_start(self, batch: Any, index: int) -> None:
        """Starts the clock at the second step, when the workers are running."""
        if index == 1:
            self.marks = [time.process_time()]

    def on_train_end(self) -> None:
        """Stops the clock after the last step."""
        self.marks.append(time.process_time())


class Waves(torch.utils.data.Dataset):
    """Float waveforms in memory, with a dict for each clip."""

    def __init__(self, wave: torch.Tensor) -> None:
        self.wave = wave.numpy()

    def __len__(self) -> int:
        return len(self.wave)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"wave": self.wave[index], "label": index % NUM_CLASSES}


def peer_step(config: TrialConfig, num_steps: int) -> float:
    """CPU seconds of the peer's step, including the loader's workers."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    wave = clips_of(config, num_steps)
    module = Peer(config, with_usual_layers(start_network(config, NUM_CLASSES, None)))
    loader = torch.utils.data.DataLoader(
        Waves(wave), 2 * config.batch, shuffle=True, drop_last=True, num_workers=WORKERS, persistent_workers=True
    )
    children = _children_s()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice
        trainer = lightning.Trainer(
            max_steps=num_steps + 1,
            accelerator="cpu",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, loader)
    del trainer, loader  # ends the workers, so that their time is known
    workers_s = (_children_s() - children) * num_steps / (num_steps + 1)
    return (module.marks[1] - module.marks[0] + workers_s) / num_steps


def our_step(config: TrialConfig, num_steps: int) -> float:
    """CPU seconds of our step."""
    wave = clips_of(config, num_steps)
    inputs = logmel(wave, config.card.front_end).half()  # once per trial, not per epoch
    labels = torch.arange(len(wave)) % NUM_CLASSES
    some = Examples(inputs, labels, np.zeros(len(wave)), np.zeros(len(wave), dtype=int))
    network = laid_out(start_network(config, NUM_CLASSES, None), config, torch.device("cpu"))
    learner = ready_learner(config, network)
    first = 2 * config.batch
    finetune.train_epoch(learner, some.first(first), 1)
    began = time.process_time()
    finetune.train_epoch(learner, some.first(num_steps * first), 2)
    return (time.process_time() - began) / num_steps


def compare(
    case: Case, num_rounds: int, num_steps: int, for_peer: Executor, for_ours: Executor, width: float = 1.0
) -> list[Row]:
    """Two rows of the table: ours beside the peer, and beside ours in a process with default settings.

    Args:
        for_peer: a process with default settings, for the peer.
        for_ours: another one, for ours.
    """
    config = trial(case, width)
    plain = replace(config, precision="float32")
    times_of: dict[str, list[float]] = {"ours": [], "peer": [], "not kept": []}
    for _ in range(num_rounds):
        times_of["peer"].append(for_peer.submit(peer_step, plain, num_steps).result())
        times_of["ours"].append(our_step(config, num_steps))
        times_of["not kept"].append(for_ours.submit(our_step, config, num_steps).result())
    speed = {who: config.batch / statistics.median(times) for who, times in times_of.items()}
    name = f"{case.backbone}, {config.num_frames} frames, batch {case.batch}, {case.precision}"
    unit, ours = "samples/CPU-s", speed["ours"]
    return [
        against(name, unit, ours, speed["peer"], PEER, case.goal, more_is_better=True),
        against(f"{name}: memory kept", unit, ours, speed["not kept"], "ours, not kept", more_is_better=True),
    ]


def clips_of(config: TrialConfig, num_steps: int) -> torch.Tensor:
    """Waveforms for `num_steps` steps and one more to warm up."""
    return noise(config, (num_steps + 1) * 2 * config.batch)


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(argv: Sequence[str] | None = None) -> None:
    """Prints the table, and writes it as JSON if asked."""
    command = parser(__doc__)
    command.add_argument("--rounds", type=int, default=3)
    command.add_argument("--steps", type=int, default=2, help="in a round, after one that is not counted")
    command.add_argument("--only", default="", help="only backbones with this in their name")
    args = command.parse_args(argv)
    torch.set_num_threads(1)
    chosen = [case for case in CASES if args.only in case.backbone]
    with as_it_comes() as for_peer, as_it_comes() as for_ours:
        lines = [compare(case, args.rounds, args.steps, for_peer, for_ours) for case in chosen]
    show([row for pair in lines for row in pair], args)


if __name__ == "__main__":
    as_a_worker()
    main()
