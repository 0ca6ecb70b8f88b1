"""The benchmark of training steps holds like against like."""

from __future__ import annotations

import dataclasses
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import torch
import torch.nn.functional as F

from benchmarks import train
from benchmarks.measured import as_it_comes
from benchmarks.peers import PeersAugmentation, PeersFrontEnd, with_usual_layers
from trainable.augmentations.mixup import Lambdas
from trainable.learning.augmentation import Augmentation
from trainable.network.frontend import logmel
from trainable.network.networks import start_network

CASE = train.Case("cnn14", 2_000, 2, "bfloat16", 1.8)


def test_the_peers_front_end_gives_our_log_mels() -> None:
    """Within 1e-3 dB, where there is sound: the network is given the same."""
    config = train.trial(CASE)
    wave = train.noise(config, 2)
    theirs = PeersFrontEnd(config.card.front_end)(wave)
    torch.testing.assert_close(theirs, logmel(wave, config.card.front_end), rtol=0, atol=1e-3)


def test_the_peers_mixup_mixes_neighbours() -> None:
    """With shares that sum to one, as ours."""
    config = dataclasses.replace(train.trial(CASE), augment="mixup")
    mixed = PeersAugmentation(config).draw(4).mix(torch.eye(4))
    assert mixed.shape == (2, 4)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(2))
    assert (mixed[0, 2:] == 0).all()
    assert (mixed[1, :2] == 0).all()


def test_a_step_of_both_is_the_same_step() -> None:
    """From the same weights, clips and shares of mixup: the loss and the number of samples are the same."""
    plain = dataclasses.replace(CASE, precision="float32")
    config = dataclasses.replace(train.trial(plain, width=1 / 32), augment="mixup", head_dropout=0.0)
    wave, labels = train.noise(config, 4), torch.arange(4)
    theirs, ours = (start_network(config, train.NUM_CLASSES, None).eval() for _ in range(2))  # no dropout
    seen: list[int] = []
    for network in (theirs, ours):
        network.classifier.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    peer = train.Peer(config, theirs)
    peer.log = lambda *told: None  # type: ignore[method-assign, assignment]
    their_loss = peer.training_step({"wave": wave, "label": labels}, 0)

    shares = peer.augmentation.lambdas[0::2]
    same = Augmentation((Lambdas(shares),))
    logits = ours(logmel(wave, config.card.front_end), same)
    our_loss = F.cross_entropy(logits, same.mix(F.one_hot(labels, train.NUM_CLASSES).float()))
    torch.testing.assert_close(our_loss, their_loss, rtol=1e-3, atol=1e-3)
    assert seen == [2, 2]


def test_the_peers_mobilenet_has_its_published_layers() -> None:
    """A pooling of its own, and the same logits."""
    config = train.trial(train.Case("mobilenetv1", 8_000, 2, "float32", None))
    ours, theirs = (start_network(config, train.NUM_CLASSES, None).eval() for _ in range(2))
    with_usual_layers(theirs)
    assert [type(layer) for layer in theirs.get_submodule("features.0")][:2] == [torch.nn.Conv2d, torch.nn.AvgPool2d]
    x = torch.randn(2, *config.logmel_shape)
    torch.testing.assert_close(theirs(x), ours(x), rtol=1e-4, atol=1e-5)


def test_both_train_and_the_ratio_is_of_the_samples() -> None:
    """One step of a narrow network each."""
    with ThreadPoolExecutor(1) as pool:
        row, not_kept = train.compare(CASE, 1, 1, pool, pool, width=1 / 32)
    assert not_kept.ours == row.ours
    assert not_kept.peer != row.peer is not None
    assert row.ours is not None
    assert row.ratio == row.ours / row.peer > 0
    assert row.goal == ">= 1.8x"
    assert row.met == (row.ratio >= 1.8)


def test_the_peers_loader_forks_its_workers() -> None:
    """As it does by itself: spawned ones would load torch anew, and their seconds count as the peer's."""
    with as_it_comes() as pool:
        assert pool.submit(multiprocessing.get_start_method).result() == "fork"
        assert pool.submit(torch.get_num_threads).result() == 1
