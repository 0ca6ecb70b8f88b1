"""SpecAugment and mixup have the reference's distributions, and can be replayed from their draws."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from sweeps.recipes.mohammadi import RATES
from tests.trainable.drawing import draw
from trainable.augmentations.mixup import Lambdas, Mixup, draw_lambdas, mixup
from trainable.augmentations.specaugment import Masks, SpecAugment, draw_masks, time_mask_width

CONFIG = RATES.but(data_hz=8_000, augment="mixup")


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def literal_stripes(batch: int, total: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """SpecAugment by its definition: two stripes per sample, width 0..W-1, start 0..total-width-1."""
    hidden = np.zeros((batch, total), dtype=bool)
    for sample in hidden:
        for _ in range(2):
            distance = rng.integers(0, width)
            start = rng.integers(0, total - distance)
            sample[start : start + distance] = True
    return hidden


def same_distribution(a: np.ndarray, b: np.ndarray) -> float:
    """The p value of a chi-square test that two samples of small integers have one distribution."""
    values = np.arange(max(a.max(), b.max()) + 1)
    table = np.array([[np.sum(x == v) for v in values] for x in (a, b)])
    return float(stats.chi2_contingency(table[:, table.sum(axis=0) >= 10]).pvalue)


def first_hidden(masks: np.ndarray) -> np.ndarray:
    """The position of the first hidden frame of each sample; the number of frames if none is hidden."""
    return np.where(masks.any(axis=1), masks.argmax(axis=1), masks.shape[1])


@pytest.mark.parametrize(
    ("model_hz", "widths"),
    [
        (8_000, (16, 32, 64, 128, 256, 512)),
        (16_000, (8, 16, 32, 64, 128, 256)),
        (32_000, (4, 8, 16, 32, 64, 128)),
    ],
)
def test_time_mask_width_follows_the_rates(model_hz: int, widths: tuple[int, ...]) -> None:
    """Every cell of the sampling-rate study has the width of its authors' code."""
    assert (
        tuple(time_mask_width(data_hz, model_hz) for data_hz in (2_000, 4_000, 8_000, 16_000, 32_000, 64_000)) == widths
    )


def test_time_mask_width_is_at_least_one() -> None:
    """A very low rate still gives a width from which a stripe can be drawn."""
    assert time_mask_width(100, 32_000) == 1


@pytest.mark.parametrize("rates", [(0, 32_000), (32_000, -1)])
def test_time_mask_width_refuses_impossible_rates(rates: tuple[int, int]) -> None:
    """The message names a rate that is not positive."""
    with pytest.raises(ValueError, match="rates must be above 0"):
        time_mask_width(*rates)


@pytest.mark.parametrize(("total", "width"), [(12, 5), (32, 4), (9, 9), (6, 2)])
def test_masked_counts_and_positions_are_the_references(total: int, width: int) -> None:
    """The number of hidden frames, the first and the last have the distributions of the reference.

    With 20,000 samples, drawing widths or starts from one value more or fewer would give p below 1e-6.
    """
    ours = draw_masks(20_000, total, 64, width, seeded(1)).frames.numpy()
    literal = literal_stripes(20_000, total, width, np.random.default_rng(2))
    assert same_distribution(ours.sum(axis=1), literal.sum(axis=1)) > 1e-3
    assert same_distribution(first_hidden(ours), first_hidden(literal)) > 1e-3
    assert same_distribution(first_hidden(ours[:, ::-1]), first_hidden(literal[:, ::-1])) > 1e-3


def test_frequency_masks_have_their_own_width() -> None:
    """Mel bands are hidden like the reference with a width of 8, for any width in time."""
    ours = draw_masks(20_000, 200, 64, 100, seeded(3)).mels.numpy()
    literal = literal_stripes(20_000, 64, SpecAugment().mels, np.random.default_rng(4))
    assert same_distribution(ours.sum(axis=1), literal.sum(axis=1)) > 1e-3


def test_stripes_hide_at_most_twice_the_width_less_one() -> None:
    """The widest stripe is W - 1, it does occur, and there are two in each direction."""
    masks = draw_masks(20_000, 100, 64, 4, seeded(5))
    assert masks.frames.sum(dim=1).max() == 2 * 3
    assert masks.mels.sum(dim=1).max() == 2 * 7


def test_samples_are_masked_apart() -> None:
    """The samples of a batch have different masks, and so do the two axes."""
    masks = draw_masks(64, 64, 64, SpecAugment().mels, seeded(6))
    assert len(torch.unique(masks.frames, dim=0)) > 32
    assert not torch.equal(masks.frames, masks.mels)


def test_width_above_the_clip_is_cut_to_it() -> None:
    """A width above the clip's is no error, and one stripe cannot hide the whole clip."""
    wide, cut = (draw_masks(500, 10, 64, width, seeded(7)) for width in (64, 10))
    assert torch.equal(wide.frames, cut.frames)
    assert wide.frames.any()


def test_width_of_one_hides_nothing() -> None:
    """Widths are drawn from 0..W-1, so with W = 1 no frame is hidden."""
    assert not draw_masks(100, 32, 64, 1, seeded(8)).frames.any()


def test_apply_masks_sets_only_what_is_hidden_to_zero() -> None:
    """Hidden frames and bands become 0, everything else stays the same."""
    masks = Masks(
        frames=torch.tensor([[True, False, False], [False, False, False]]), mels=torch.zeros(2, 4, dtype=torch.bool)
    )
    masks.mels[1, 2] = True
    x = torch.arange(1.0, 25.0).view(2, 1, 3, 4)
    expected = x.clone()
    expected[0, :, 0, :] = 0
    expected[1, :, :, 2] = 0
    assert torch.equal(masks(x), expected)


def test_lambdas_are_uniform() -> None:
    """The mixing weights follow Beta(1, 1)."""
    assert stats.kstest(draw_lambdas(20_000, seeded(9)).numpy(), "uniform").pvalue > 1e-3


def test_mixup_pairs_neighbours() -> None:
    """Sample 2i has the weight lambda, and sample 2i + 1 the rest."""
    mixed = mixup(torch.tensor([1.0, 10.0, 100.0, 1000.0]).view(4, 1, 1, 1), torch.tensor([1.0, 0.25]))
    torch.testing.assert_close(mixed.flatten(), torch.tensor([1.0, 775.0]))


def test_targets_are_mixed_as_the_inputs() -> None:
    """Inputs and targets get the same weights: an identity network would be right."""
    onehot = torch.eye(4)
    drawn = draw("mixup", 4, 1, 4, time_width=1, generator=seeded(10))
    assert torch.equal(drawn(onehot.view(4, 1, 1, 4)).view(2, 4), drawn.mix(onehot))
    torch.testing.assert_close(drawn.mix(onehot).sum(dim=1), torch.ones(2))


@pytest.mark.parametrize(
    ("names", "masks", "mixes"),
    [("specaugment+mixup", True, True), ("specaugment", True, False), ("mixup", False, True), ("none", False, False)],
)
def test_names_choose_what_is_done(names: str, masks: bool, mixes: bool) -> None:
    """`TrialConfig.augment` decides whether masks are drawn and pairs are mixed."""
    x, onehot = torch.ones(16, 1, 32, 64), torch.eye(16)
    drawn = draw(names, 16, 32, 64, time_width=16, generator=seeded(11))
    assert bool((drawn(x) == 0).any()) == masks
    assert len(drawn(x)) == len(drawn.mix(onehot)) == (8 if mixes else 16)


def test_masking_comes_before_mixing() -> None:
    """A part that is hidden in one sample of a pair shows the other one, weighted."""
    x = torch.ones(64, 1, 32, 64)
    drawn = draw("specaugment+mixup", 64, 32, 64, time_width=16, generator=seeded(12))
    masks, lambdas = drawn.drawn
    assert isinstance(lambdas, Lambdas)
    assert torch.equal(drawn(x), mixup(masks(x), lambdas.lambdas))


def test_a_draw_is_replayed() -> None:
    """The same draw and the same seed repeat the result, and the input does not change."""
    x = torch.randn(8, 1, 40, 64, generator=seeded(13))
    before = x.clone()
    drawn, again, other = (
        draw("specaugment+mixup", 8, 40, 64, time_width=20, generator=seeded(s)) for s in (14, 14, 15)
    )
    first = drawn(x)
    assert torch.equal(first, drawn(x))
    assert torch.equal(first, again(x))
    assert not torch.equal(first, other(x))
    assert torch.equal(x, before)


def test_drawing_leaves_the_global_state_alone() -> None:
    """All randomness comes from the given generator."""
    before = torch.get_rng_state()
    draw("specaugment+mixup", 8, 40, 64, time_width=20, generator=seeded(16))(torch.ones(8, 1, 40, 64))
    assert torch.equal(torch.get_rng_state(), before)


def test_mixup_refuses_an_odd_batch() -> None:
    """A sample without a partner is an error that names the number of samples."""
    with pytest.raises(ValueError, match="samples=33"):
        Mixup().draw(CONFIG, 33, seeded(17))
