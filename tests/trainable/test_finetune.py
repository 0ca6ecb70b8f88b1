"""The loop gives the same bits after any interruption, selects on validation, and stops when it should."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sweeps.recipes.mohammadi import RATES
from trainable.config import TrialConfig
from trainable.examples import Examples
from trainable.finetune import (
    NotFinite,
    Row,
    finetune,
    has_stopped,
    kept_epoch,
    predict,
    save,
    split_batch,
    train_epoch,
)
from trainable.learning.learner import ready_learner
from trainable.result.usage import MEASURED
from trainable.trial import start_network
from trainable.weights import checkpoint

CONFIG = RATES.but(
    corpus="toy", pretrain_hz=8_000, data_hz=8_000, clip_s=0.4, weights="none", width=1 / 64, lr=1e-2, batch=4, epochs=5
)
NUM_CLASSES = 3
NUM_FRAMES = CONFIG.num_frames


class Stopped(Exception):
    """Ends a trial in the middle."""


def toy(clips: int = 21, seed: int = 0, shift: int = 0) -> Examples:
    """Noise around a level that depends on the class; `shift` gives each clip the label of another class."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.arange(clips) % NUM_CLASSES
    level = torch.linspace(-1, 1, NUM_CLASSES)[labels, None, None]
    inputs = (-30 + 5 * level + 5 * torch.randn(clips, NUM_FRAMES, 64, generator=random)).half()
    recording = np.array([f"r{n // 2}" for n in range(clips)])
    return Examples(inputs, (labels + shift) % NUM_CLASSES, recording, np.arange(clips) % 2)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The results of a trial without its times."""

    history: list[Row]
    weights: dict[str, Tensor]
    logits: np.ndarray

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Outcome)
            and self.history == other.history
            and all(torch.equal(value, other.weights[name]) for name, value in self.weights.items())
            and bool((self.logits == other.logits).all())
        )


def fresh(config: TrialConfig) -> nn.Module:
    return start_network(config, NUM_CLASSES, None).to(memory_format=torch.channels_last)


def run(
    config: TrialConfig,
    folder: Path,
    report: Callable[[Row], None] = lambda row: None,
    network: nn.Module | None = None,
    train: Examples | None = None,
    validation: Examples | None = None,
) -> Outcome:
    network = network or fresh(config)
    train, validation = train or toy(), validation or toy(10, seed=1)
    history = finetune(config, network, train, validation, folder, report)
    timeless = [{name: value for name, value in row.items() if not name.startswith(MEASURED)} for row in history]
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    return Outcome(timeless, weights, predict(network, validation, config))


def stop_after(epoch: int) -> Callable[[Row], None]:
    def report(row: Row) -> None:
        if row["epoch"] == epoch:
            raise Stopped

    return report


def stop_at_pass(number: int, network: nn.Module) -> nn.Module:
    """The network, which ends the trial at the given forward pass."""
    passes = itertools.count(1)

    def hook(module: nn.Module, args: Any) -> None:
        if next(passes) == number:
            raise Stopped

    network.register_forward_pre_hook(hook)
    return network


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The outcome of a trial that was not interrupted."""
    return run(CONFIG, tmp_path_factory.mktemp("undisturbed"))


def test_the_same_config_gives_the_same_bits(tmp_path: Path, undisturbed: Outcome) -> None:
    """History, weights and logits do not depend on torch's random state."""
    torch.manual_seed(4711)
    assert run(CONFIG, tmp_path) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("field", [{"seed": 2}, {"lr": 5e-3}, {"augment": "mixup"}, {"head_dropout": 0.4}])
def test_another_config_gives_other_bits(tmp_path: Path, undisturbed: Outcome, field: dict[str, Any]) -> None:
    """Otherwise the equality above would mean nothing."""
    assert run(dataclasses.replace(CONFIG, **field), tmp_path) != undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("epoch", range(1, CONFIG.epochs + 1))
def test_a_trial_stopped_after_any_epoch_ends_with_the_same_bits(
    tmp_path: Path, undisturbed: Outcome, epoch: int
) -> None:
    """A new process continues after that epoch, reports all epochs in order, and ends the same way."""
    with pytest.raises(Stopped):
        run(CONFIG, tmp_path, stop_after(epoch))
    rows: list[Row] = []
    passes: list[int] = []
    network = fresh(CONFIG)
    network.register_forward_pre_hook(lambda module, args: passes.append(1))
    assert run(CONFIG, tmp_path, rows.append, network) == undisturbed
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    passes_per_epoch = 3 + 1  # 20 of 21 clips in eights, and one of validation; one more for the outcome's logits
    assert len(passes) == (CONFIG.epochs - epoch) * passes_per_epoch + 1


@pytest.mark.slow
@pytest.mark.parametrize("forward_pass", [1, 2, 4, 5, 7, 12, 19, 20])
def test_a_trial_stopped_within_an_epoch_ends_with_the_same_bits(
    tmp_path: Path, undisturbed: Outcome, forward_pass: int
) -> None:
    """An epoch that was interrupted, in training or validation, starts over."""
    with pytest.raises(Stopped):
        run(CONFIG, tmp_path, network=stop_at_pass(forward_pass, fresh(CONFIG)))
    assert run(CONFIG, tmp_path) == undisturbed


def test_a_trial_stopped_again_and_again_ends_with_the_same_bits(tmp_path: Path, undisturbed: Outcome) -> None:
    """Each attempt may complete only one epoch."""
    for epoch in range(1, CONFIG.epochs + 1):
        with pytest.raises(Stopped):
            run(CONFIG, tmp_path, stop_after(epoch))
    assert run(CONFIG, tmp_path) == undisturbed


def test_bfloat16_resumes_with_the_same_bits_and_differs_from_float32(tmp_path: Path, undisturbed: Outcome) -> None:
    """Only products are in bfloat16: weights and logits are float32, and so is the checkpoint."""
    half = dataclasses.replace(CONFIG, precision="bfloat16")
    uninterrupted = run(half, tmp_path / "whole")
    with pytest.raises(Stopped):
        run(half, tmp_path / "stopped", stop_after(2))
    assert run(half, tmp_path / "stopped") == uninterrupted != undisturbed
    assert {value.dtype for value in uninterrupted.weights.values()} == {
        torch.float32,
        torch.int64,
    }  # and a counter of batches
    assert uninterrupted.logits.dtype == np.float32


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["epoch", "best"])
@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_damaged_checkpoint_costs_time_only(tmp_path: Path, undisturbed: Outcome, epoch: int, prefix: str) -> None:
    """If the last epoch or the best weights are damaged, the trial resumes earlier, with the same result."""
    with pytest.raises(Stopped):
        run(CONFIG, tmp_path, stop_after(epoch))
    damaged = max(tmp_path.glob(f"{prefix}-*.pt"))
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 4
    damaged.write_bytes(bytes(data))
    assert run(CONFIG, tmp_path) == undisturbed


def test_two_epochs_and_their_best_are_kept_on_disk(tmp_path: Path) -> None:
    """A long trial needs no more disk space than a short one."""
    run(dataclasses.replace(CONFIG, epochs=4), tmp_path)
    assert [p.name for p in sorted(tmp_path.glob("epoch-*.pt"))] == ["epoch-0003.pt", "epoch-0004.pt"]
    assert len(list(tmp_path.glob("best-*.pt"))) <= 2


def test_the_epoch_before_can_be_gone_back_to(tmp_path: Path) -> None:
    """The previous epoch keeps its own best weights, even if the last epoch is the best of all."""
    network, history = fresh(CONFIG), rows([0.1, 0.2, 0.3], [3.0, 2.0, 1.0])
    learner = ready_learner(CONFIG, network)
    for epoch in (1, 2, 3):
        save(tmp_path, learner, history[:epoch])
    checkpoint.epoch_file(tmp_path, 3).unlink()
    state = checkpoint.latest(tmp_path)
    assert state is not None
    assert (len(state["history"]), state["best_epoch"]) == (2, 2)


def test_torchs_random_state_is_left_alone(tmp_path: Path) -> None:
    """The caller's random numbers continue as if nothing had been trained."""
    before = torch.get_rng_state()
    run(dataclasses.replace(CONFIG, epochs=1), tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_training_learns(tmp_path: Path) -> None:
    """Classes that differ in level are told apart on clips that were not trained on."""
    config = dataclasses.replace(CONFIG, augment="none", head_dropout=0, epochs=12, batch=16, lr=3e-3, width=1 / 32)
    outcome = run(config, tmp_path, train=toy(120), validation=toy(30, seed=1))
    assert max(row["val_accuracy"] for row in outcome.history) > 0.8
    assert outcome.history[-1]["train_loss"] < 0.6 * outcome.history[0]["train_loss"]


def rows(accuracies: list[float], losses: list[float]) -> list[Row]:
    return [
        {"epoch": n, "val_accuracy": a, "val_loss": v}
        for n, (a, v) in enumerate(zip(accuracies, losses, strict=True), start=1)
    ]


def test_the_first_of_the_best_epochs_is_kept() -> None:
    """It is the epoch with the largest accuracy or smallest loss, and the earlier one of two equal ones."""
    history = rows([0.5, 0.7, 0.6, 0.7], [0.9, 0.8, 0.3, 0.3])
    assert kept_epoch(history, CONFIG) == 2
    assert kept_epoch(history, dataclasses.replace(CONFIG, keep_by="loss")) == 3
    assert kept_epoch(history, dataclasses.replace(CONFIG, keep_by="none")) == len(history)
    assert kept_epoch([], CONFIG) == 0


@pytest.mark.parametrize(
    ("patience", "stop_by", "stops_after"),
    [(1, "loss", 3), (2, "loss", 4), (3, "loss", None), (1, "accuracy", 2), (2, "accuracy", 5), (3, "accuracy", 6)],
)
def test_training_stops_when_patience_is_out(patience: int, stop_by: str, stops_after: int | None) -> None:
    """Patience counts epochs since `stop_by` last improved on its best; equalling it is no improvement."""
    history = rows([0.5, 0.5, 0.6, 0.6, 0.6, 0.6], [0.9, 0.8, 0.9, 0.8, 0.7, 0.9])
    config = dataclasses.replace(CONFIG, patience=patience, stop_by=stop_by)
    stopped = [n for n in range(len(history) + 1) if has_stopped(history[:n], config)]
    assert (min(stopped) if stopped else None) == stops_after


@pytest.mark.parametrize("patience", [1, 2])
def test_a_trial_that_does_not_improve_ends_early(tmp_path: Path, patience: int) -> None:
    """With labels that contradict training, the loss rises after some epoch; the trial ends reproducibly."""
    config = dataclasses.replace(CONFIG, augment="none", head_dropout=0, epochs=30, patience=patience)
    wrong = toy(10, seed=1, shift=1)
    outcome = run(config, tmp_path, validation=wrong, train=toy(60))
    best = kept_epoch(outcome.history, dataclasses.replace(config, keep_by="loss"))
    assert len(outcome.history) == best + patience < 30
    assert run(config, tmp_path, validation=wrong, train=toy(60)) == outcome


@pytest.mark.slow
@pytest.mark.parametrize("keep_by", ["accuracy", "loss"])
def test_the_network_is_left_with_the_kept_epochs_weights(tmp_path: Path, keep_by: str) -> None:
    """They equal those of a trial with only that many epochs, and are not the last ones."""
    config = dataclasses.replace(CONFIG, keep_by=keep_by, augment="none", head_dropout=0, epochs=6)
    wrong = toy(10, seed=1, shift=1)
    outcome = run(config, tmp_path / "whole", validation=wrong)
    best = kept_epoch(outcome.history, config)
    assert best < config.epochs
    shorter = dataclasses.replace(config, epochs=best)
    network = fresh(shorter)
    finetune(shorter, network, toy(), wrong, tmp_path / "shorter", lambda row: None)
    assert all(torch.equal(value, outcome.weights[name]) for name, value in network.state_dict().items())
    row = outcome.history[best - 1]
    assert row["val_accuracy"] == np.mean(outcome.logits.argmax(axis=1) == wrong.labels.numpy())


class Ledger(nn.Module):
    """Learns nothing, but notes its clips, each of which contains its own number."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(1, NUM_CLASSES)
        self.steps: list[list[int]] = []

    def forward(self, x: Tensor, augment: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        self.steps.append(x[:, 0, 0].int().tolist())
        x = x[:, None] if augment is None else augment(x[:, None])
        logits: Tensor = self.classifier(x[:, 0, 0, :1])
        return logits


def steps_of(config: TrialConfig, clips: int, epoch: int = 1) -> list[list[int]]:
    """The clips of each step of an epoch."""
    ledger, examples = Ledger(), toy(clips)
    numbered = dataclasses.replace(
        examples, inputs=torch.arange(clips).half()[:, None, None].expand(clips, NUM_FRAMES, 64)
    )
    (losses,) = train_epoch(ready_learner(config, ledger), numbered, epoch).values()  # type: ignore[arg-type]
    assert len(losses) == len(ledger.steps)
    return ledger.steps


@pytest.mark.parametrize(
    ("clips", "sizes"),
    [(1, [1]), (2, [2]), (4, [4]), (5, [5]), (7, [4, 3]), (8, [4, 4]), (9, [4, 5]), (18, [4] * 4 + [2])],
)
def test_an_epoch_shows_every_clip_once(clips: int, sizes: list[int]) -> None:
    """The last batch may be small, but a single clip joins the batch before it."""
    config = dataclasses.replace(CONFIG, augment="none")
    steps = steps_of(config, clips)
    assert sorted(itertools.chain(*steps)) == list(range(clips))
    assert [len(step) for step in steps] == sizes


@pytest.mark.parametrize(
    ("clips", "sizes"), [(2, [2]), (3, [2]), (8, [8]), (9, [8]), (10, [10]), (19, [8, 10]), (20, [8, 8, 4])]
)
def test_mixup_draws_pairs(clips: int, sizes: list[int]) -> None:
    """With mixup a step takes twice the batch; with an odd number of clips, each epoch leaves out another one."""
    config = dataclasses.replace(CONFIG, augment="mixup")
    clips_of_epoch = [list(itertools.chain(*steps_of(config, clips, epoch))) for epoch in range(1, 9)]
    assert all(len(set(clip)) == len(clip) == clips - clips % 2 for clip in clips_of_epoch)
    assert set(itertools.chain(*clips_of_epoch)) == set(range(clips))
    assert [len(step) for step in steps_of(config, clips)] == sizes


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    """No two epochs and no two seeds have the same order of clips."""
    config = dataclasses.replace(CONFIG, augment="none")
    orders = [
        steps_of(dataclasses.replace(config, seed=seed), 19, epoch) for seed in (1, 2, 3) for epoch in (1, 2, 3, 4)
    ]
    assert len({str(order) for order in orders}) == 12


@pytest.mark.parametrize("fields", [{"data_hz": 4_000, "clip_s": 0.8}, {"pretrain_hz": 16_000, "data_hz": 16_000}])
def test_trials_of_one_seed_are_paired(fields: dict[str, Any]) -> None:
    """At any rates, a seed has one classifier at the start and one order of clips; other seeds differ."""
    other = dataclasses.replace(CONFIG, **fields)
    seeded = dataclasses.replace(CONFIG, seed=2)
    heads = [start_network(config, NUM_CLASSES, None).classifier for config in (CONFIG, other, seeded)]
    assert torch.equal(heads[0].weight, heads[1].weight)  # type: ignore[union-attr, arg-type]
    assert torch.equal(heads[0].bias, heads[1].bias)  # type: ignore[union-attr, arg-type]
    assert not torch.equal(heads[0].weight, heads[2].weight)  # type: ignore[union-attr, arg-type]
    assert steps_of(CONFIG, 19) == steps_of(other, 19)
    assert steps_of(CONFIG, 19) != steps_of(seeded, 19)


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["specaugment+mixup", "specaugment", "mixup", "none"])
@pytest.mark.parametrize("clips", [3, 9, 18])
def test_any_number_of_clips_can_be_trained_on(tmp_path: Path, augment: str, clips: int) -> None:
    """The losses are finite for odd or even numbers, fewer than a batch or more, with one clip left over."""
    config = dataclasses.replace(CONFIG, augment=augment, epochs=2, batch=4)
    outcome = run(config, tmp_path, train=toy(clips))
    assert all(math.isfinite(value) for row in outcome.history for value in row.values())


def test_a_batch_larger_than_the_data_is_one_step() -> None:
    """The step has all clips."""
    assert [len(step) for step in steps_of(dataclasses.replace(CONFIG, batch=1_000), 18)] == [18]


def test_prediction_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    """The logits of all clips are those of each clip alone, in order."""
    network, examples = fresh(CONFIG), toy(230)  # 97 clips at once
    parts = (examples.inputs, examples.labels, examples.recording, examples.number)
    alone = [predict(network, Examples(*(part[[n]] for part in parts)), CONFIG) for n in (0, 96, 97, 193, 229)]
    np.testing.assert_allclose(
        predict(network, examples, CONFIG)[[0, 96, 97, 193, 229]], np.concatenate(alone), atol=1e-5
    )


def test_three_steps_give_the_pinned_losses() -> None:
    """A change to the loop, the augmentation or the initial weights shows here first."""
    network = fresh(CONFIG)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        learner = ready_learner(dataclasses.replace(CONFIG, lr=1e-3), network)
        (losses,) = train_epoch(learner, toy(24), epoch=1).values()
    assert losses.tolist() == pytest.approx([1.056221, 2.393868, 1.281497], rel=1e-4)


@pytest.mark.parametrize("clip", [0, 7, 17])
def test_a_training_loss_that_is_not_finite_is_located(tmp_path: Path, clip: int) -> None:
    """The message has the epoch and step of the first NaN."""
    config = dataclasses.replace(CONFIG, augment="none")
    train = toy(18)
    train.inputs[clip, 0, 0] = math.nan
    step = next(n for n, clips in enumerate(steps_of(config, 18), start=1) if clip in clips)
    with pytest.raises(NotFinite, match=f"the training loss is nan in epoch 1, step {step} of 5; lower lr"):
        run(config, tmp_path, train=train)


def test_a_validation_loss_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    """A trial never ends with a NaN as a score, and a diverged epoch leaves no checkpoint."""
    validation = toy(10, seed=1)
    validation.inputs[3, 0, 0] = math.nan
    with pytest.raises(NotFinite, match=r"the validation loss is nan after epoch 1; lower lr \(0.01\)"):
        run(CONFIG, tmp_path, validation=validation)
    assert checkpoint.latest(tmp_path) is None


@pytest.mark.slow
def test_a_huge_learning_rate_is_an_error(tmp_path: Path) -> None:
    """A trial that diverges says so and stops."""
    with pytest.raises(NotFinite, match="lower lr"):
        run(dataclasses.replace(CONFIG, lr=1e30), tmp_path)


class TestHalfBatches:
    @pytest.mark.parametrize("unit", [1, 2])
    @pytest.mark.parametrize("samples", [1, 2, 3, 4, 7, 32])
    @pytest.mark.parametrize("num_parts", [1, 2, 5])
    def test_parts_are_the_batch(self, num_parts: int, samples: int, unit: int) -> None:
        """Parts keep the order, split no pair, and have at least two samples if the batch has four."""
        drawn = torch.arange(samples * unit)
        parts = split_batch(drawn, num_parts, unit)
        assert torch.equal(torch.cat(parts), drawn)
        assert all(len(part) % unit == 0 for part in parts)
        assert len(parts) == max(1, min(num_parts, samples // 2))

    def test_gradients_add_up_to_those_of_the_batch(self) -> None:
        """If clips do not affect each other, a step in two or three parts gives the same weights."""
        config = dataclasses.replace(CONFIG, augment="none", batch=9)
        start, ended = Ledger().state_dict(), []
        for parts in (1, 2, 3):
            network = Ledger()
            network.load_state_dict(start)
            sgd = torch.optim.SGD(network.parameters(), lr=0.01)
            learner = ready_learner(config, network, sgd)  # type: ignore[arg-type]
            (loss,) = train_epoch(learner, toy(9), 1, parts).values()
            assert len(network.steps) == parts
            ended.append((loss, network.classifier.weight))
        for loss, weight in ended[1:]:
            torch.testing.assert_close((loss, weight), ended[0])
        assert not torch.equal(ended[0][1], start["classifier.weight"])
