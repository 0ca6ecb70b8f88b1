"""The benchmark of training steps compares equal work."""

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
    """Where there is sound they agree within 1e-3 dB, so the network gets the same input."""
    config = train.trial(CASE)
    wave = train.noise(config, 2)
    peer_logmels = PeersFrontEnd(config.card.front_end)(wave)
    torch.testing.assert_close(peer_logmels, logmel(wave, config.card.front_end), rtol=0, atol=1e-3)


def test_the_peers_mixup_mixes_neighbours() -> None:
    """The shares sum to one, like ours."""
    config = dataclasses.replace(train.trial(CASE), augment="mixup")
    mixed = PeersAugmentation(config).draw(4).mix(torch.eye(4))
    assert mixed.shape == (2, 4)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(2))
    assert (mixed[0, 2:] == 0).all()
    assert (mixed[1, :2] == 0).all()


def test_a_step_of_both_is_the_same_step() -> None:
    """With the same weights, clips and shares of mixup, the loss and the number of samples agree."""
    plain = dataclasses.replace(CASE, precision="float32")
    config = dataclasses.replace(train.trial(plain, width=1 / 32), augment="mixup", head_dropout=0.0)
    wave, labels = train.noise(config, 4), torch.arange(4)
    peer_network, our_network = (start_network(config, train.NUM_CLASSES, None).eval() for _ in range(2))  # no dropout
    num_samples: list[int] = []
    for network in (peer_network, our_network):
        network.classifier.register_forward_pre_hook(lambda module, inputs: num_samples.append(len(inputs[0])))
    peer = train.Peer(config, peer_network)
    peer.log = lambda *args: None  # type: ignore[method-assign, assignment]
    their_loss = peer.training_step({"wave": wave, "label": labels}, 0)

    shares = peer.augmentation.lambdas[0::2]
    same = Augmentation((Lambdas(shares),))
    logits = our_network(logmel(wave, config.card.front_end), same)
    our_loss = F.cross_entropy(logits, same.mix(F.one_hot(labels, train.NUM_CLASSES).float()))
    torch.testing.assert_close(our_loss, their_loss, rtol=1e-3, atol=1e-3)
    assert num_samples == [2, 2]


def test_the_peers_mobilenet_has_its_published_layers() -> None:
    """It has a separate pooling, and the same logits."""
    config = train.trial(train.Case("mobilenetv1", 8_000, 2, "float32", None))
    our_network, peer_network = (start_network(config, train.NUM_CLASSES, None).eval() for _ in range(2))
    with_usual_layers(peer_network)
    assert [type(layer) for layer in peer_network.get_submodule("features.0")][:2] == [
        torch.nn.Conv2d,
        torch.nn.AvgPool2d,
    ]
    x = torch.randn(2, *config.logmel_shape)
    torch.testing.assert_close(peer_network(x), our_network(x), rtol=1e-4, atol=1e-5)


def test_both_train_and_the_ratio_is_of_the_samples() -> None:
    """Each makes one step with a narrow network."""
    with ThreadPoolExecutor(1) as pool:
        row, not_kept = train.compare(CASE, 1, 1, pool, pool, width=1 / 32)
    assert not_kept.ours == row.ours
    assert not_kept.peer != row.peer is not None
    assert row.ours is not None
    assert row.ratio == row.ours / row.peer > 0
    assert row.goal == ">= 1.8x"
    assert row.met == (row.ratio >= 1.8)


def test_the_peers_loader_forks_its_workers() -> None:
    """This is its default: spawned workers would import torch anew, and count as the peer's time."""
    with as_it_comes() as pool:
        assert pool.submit(multiprocessing.get_start_method).result() == "fork"
        assert pool.submit(torch.get_num_threads).result() == 1
