"""Predictions follow from the measurements by arithmetic that can be done by hand."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.engine.forecast.cost import (
    OVERHEAD_S,
    Basis,
    Clips,
    Cluster,
    Prediction,
    Span,
    Took,
    effort,
    epochs,
    forecast,
    longest_first,
    makespan,
    predict,
    predict_again,
    reached,
)
from sweeps.engine.forecast.placement import Asked, Needs
from sweeps.engine.plan import grid
from sweeps.recipes.mohammadi import RATES
from trainable.cost.cost import Measured, cell_of, epoch_flops, forward_flops

BASE = RATES.but(augment="none", batch=10, epochs=8, patience=3)
CLIPS = Clips(train=100, validation=20, test=30)
MEASURED = Measured(
    step_s=(1.0, 2.0, 4.0), eval_s=(0.1, 0.2, 0.3), load_s=0.01, save_s=0.5, build_s=2.0, start_s=3.0, peak_gb=1.5
)
ON_TWO_CPUS = Cluster(num_cpus=2)


def flat(seconds: float) -> Prediction:
    return Prediction(Span(seconds, seconds, seconds), 1.0)


class TestATrial:
    def test_takes_its_steps_its_evaluations_and_what_is_done_once(self) -> None:
        """10 steps of 2 s, 20 clips of 0.2 s and a checkpoint per epoch; 6 epochs; the test clips, and the start."""
        prediction = predict(BASE, CLIPS, Basis({cell_of(BASE): MEASURED}))
        assert prediction is not None
        once_s = OVERHEAD_S + 2.0 + 0.01 * 150 + 0.2 * 30
        assert prediction.seconds.mid == pytest.approx(once_s + 6 * (10 * 2.0 + 20 * 0.2 + 0.5))
        assert prediction.epochs_s is not None
        assert prediction.epochs_s.mid == pytest.approx(6 * (10 * 2.0 + 20 * 0.2))
        assert prediction.network_gb == 1.5

    def test_lies_between_the_extremes_of_rounds_and_epochs(self) -> None:
        """The least is the fastest round with the earliest stop, the most the slowest round with all epochs."""
        prediction = predict(BASE, CLIPS, Basis({cell_of(BASE): MEASURED}))
        assert prediction is not None
        assert prediction.seconds.low == pytest.approx(OVERHEAD_S + 3.5 + 0.1 * 30 + 4 * (10 * 1.0 + 20 * 0.1 + 0.5))
        assert prediction.seconds.high == pytest.approx(OVERHEAD_S + 3.5 + 0.3 * 30 + 8 * (10 * 4.0 + 20 * 0.3 + 0.5))

    def test_with_mixup_has_half_the_steps(self) -> None:
        """Two clips make one sample."""
        mixed = dataclasses.replace(BASE, augment="mixup", patience=8)
        with_mixup, plain = (
            predict(t, CLIPS, Basis({cell_of(t): MEASURED})) for t in (mixed, dataclasses.replace(BASE, patience=8))
        )
        assert with_mixup is not None
        assert plain is not None
        assert plain.seconds.mid - with_mixup.seconds.mid == pytest.approx(8 * 5 * 2.0)

    def test_that_is_not_measured_takes_its_operations_at_the_rate(self) -> None:
        """The interval follows from those of the rate and the epochs; the memory is unknown."""
        flops = epoch_flops(BASE, 100, 20)
        assert flops is not None
        prediction = predict(BASE, CLIPS, Basis(flops_per_s=Span(flops / 2, flops, 2 * flops)))
        assert prediction == Prediction(Span(2, 6, 16))

    def test_of_which_nothing_is_known_has_no_prediction(self) -> None:
        """The network is neither counted nor measured, or the device has no rate."""
        unknown = dataclasses.replace(BASE, backbone="timm/vit_tiny_patch16_224.augreg_in21k", head_dropout=0)
        assert predict(unknown, CLIPS, Basis(flops_per_s=Span(1e12, 1e12, 1e12))) is None
        assert predict(BASE, CLIPS, Basis()) is None

    @pytest.mark.parametrize(("patience", "low"), [(3, 4), (7, 8), (50, 8)])
    def test_stops_after_its_patience_at_the_earliest(self, patience: int, low: int) -> None:
        """The first epoch may be the best, and no trial exceeds its number of epochs."""
        assert epochs(dataclasses.replace(BASE, patience=patience)) == Span(low, (low + 8) / 2, 8)


class TestAgain:
    def test_is_the_mean_of_those_that_finished(self) -> None:
        """Six epochs of 10 s, six of 12 and eight of 11 take 60, 72 and 88 s; the least time besides epochs is 5 s."""
        prediction = predict_again(BASE, [Took(6, 10, 65), Took(6, 12, 79), Took(8, 11, 3688)], 1.5)
        assert prediction.seconds.mid == pytest.approx(220 / 3 + 5)
        assert prediction.epochs_s is not None
        assert prediction.epochs_s.mid == pytest.approx(220 / 3)
        assert (prediction.network_gb, prediction.num_finished) == (1.5, 3)

    def test_lies_where_one_trial_more_would(self) -> None:
        """For 50 and 54 s the deviation is 2.83, for one more trial 3.46: the ends are twice that from 52."""
        span = predict_again(BASE, [Took(5, 10), Took(6, 9)]).seconds
        assert span.mid - OVERHEAD_S == 52
        assert span.high - span.mid == pytest.approx(2 * 8**0.5 * 1.5**0.5)
        assert span.mid - span.low == pytest.approx(2 * 8**0.5 * 1.5**0.5)

    def test_is_no_shorter_than_patience_and_no_longer_than_all_epochs(self) -> None:
        """Between 4 and 8 epochs of 10 s the ends are 40 and 80 s, although the deviations are larger."""
        span = predict_again(BASE, [Took(4, 10), Took(8, 10)]).seconds
        assert span == Span(40 + OVERHEAD_S, 60 + OVERHEAD_S, 80 + OVERHEAD_S)

    def test_of_one_is_as_wide_as_early_stopping(self) -> None:
        """It had six of 4 to 8 epochs; without early stopping there is no width."""
        assert predict_again(BASE, [Took(6, 10, 61)]).seconds == Span(41, 61, 81)
        patient = dataclasses.replace(BASE, patience=50)
        assert predict_again(patient, [Took(8, 10, 81)]).seconds == Span(81, 81, 81)

    def test_does_not_count_the_time_between_two_starts(self) -> None:
        """Nor does it count a run written after the trial had ended, beyond what others took besides epochs."""
        runs = [Took(8, 10, 90_000), Took(8, 10, 0.5), Took(8, 10, 84), Took(8, 10)]
        assert predict_again(BASE, runs).seconds.mid == 84
        assert predict_again(BASE, runs[1:2]).seconds.mid == 80 + OVERHEAD_S

    @given(st.lists(st.tuples(st.integers(1, 8), st.floats(0.01, 1e4)), min_size=1, max_size=20))
    def test_is_an_interval(self, took: list[tuple[int, float]]) -> None:
        """Its middle lies within it, whatever the finished trials."""
        span = predict_again(BASE, [Took(*one) for one in took]).seconds
        assert 0 < span.low <= span.mid <= span.high < math.inf


class TestLoad:
    def test_is_the_machine_s_and_not_the_cell_s(self) -> None:
        """One cell was measured on a busy machine, another on an idle one: both take the mean."""
        calm, busy = (dataclasses.replace(MEASURED, load=load) for load in (1.0, 3.0))
        other = dataclasses.replace(BASE, data_hz=16_000, patience=8)
        trial = dataclasses.replace(BASE, patience=8)
        basis = Basis({cell_of(trial): calm, cell_of(other): busy})
        prediction, alone = predict(trial, CLIPS, basis), predict(trial, CLIPS, Basis({cell_of(trial): calm}))
        assert prediction is not None
        assert alone is not None
        assert basis.load == Span(1.0, 2.0, pytest.approx(4.0))
        saved_s = 8 * 0.5  # the disk does not care
        assert prediction.seconds.mid - saved_s == pytest.approx(2 * (alone.seconds.mid - saved_s))

    def test_of_nothing_is_one(self) -> None:
        """An assumed rate is that of an idle machine."""
        assert Basis().load == Span(1, 1, 1)


def test_seeds_and_learning_rates_share_a_cell() -> None:
    """The cost of a step depends on the data rate, but not on them."""
    assert cell_of(BASE) == cell_of(dataclasses.replace(BASE, seed=9, lr=1, epochs=3, split="vessel"))
    assert cell_of(BASE) != cell_of(dataclasses.replace(BASE, data_hz=16_000))


def test_the_rate_reached_is_the_measured_steps() -> None:
    """A step is a forward and a backward pass, three times a forward pass, of a batch."""
    forward = forward_flops(BASE)
    assert forward is not None
    rate = reached([BASE], {cell_of(BASE): MEASURED})
    assert rate is not None
    assert rate.mid == pytest.approx(3 * forward * 10 / 2.0)
    assert reached([BASE], {}) is None


class TestMakespan:
    @pytest.mark.parametrize(
        ("seconds", "num", "ends"),
        [
            ([3, 2, 2], 2, 4),  # 3 | 2 2
            ([5, 4, 3, 3, 3], 2, 10),  # 5 3 | 4 3 3, where 9 is possible
            ([2, 2, 2], 3, 2),
            ([7], 4, 7),
        ],
    )
    def test_of_whole_devices(self, seconds: Sequence[float], num: int, ends: float) -> None:
        """Each job takes the first free device."""
        assert makespan(seconds, [1.0] * len(seconds), num, 99) == ends

    def test_of_shared_devices(self) -> None:
        """With four halves and a whole on two devices, the halves fill both, and the whole waits for one of them."""
        assert makespan([4, 4, 2, 2, 3], [0.5, 0.5, 0.5, 0.5, 1.0], 2, 99) == 5
        assert makespan([4, 4, 4, 4], [0.5] * 4, 2, 99) == 4

    def test_a_half_that_is_free_is_half_a_device(self) -> None:
        """On one device, the whole waits for both halves."""
        assert makespan([4, 2, 3], [0.5, 0.5, 1.0], 1, 99) == 7

    def test_a_limit_of_trials_at_once_holds(self) -> None:
        """One at a time is the sum, however many devices there are."""
        assert makespan([1, 2, 3], [1.0] * 3, 8, 1) == 6
        assert makespan([1, 2, 3], [1.0, 0.5, 0.5], 8, 1) == 6

    def test_several_devices_for_a_trial(self) -> None:
        """Of trials with two devices each, two run at once on five."""
        assert makespan([3, 3, 3], [2.0] * 3, 5, 99) == 6

    @given(st.lists(st.floats(0.1, 100), min_size=1, max_size=30), st.integers(1, 5))
    def test_of_the_longest_first_is_near_the_best(self, seconds: list[float], num: int) -> None:
        """It is at least a lower bound for any order, and at most 4/3 of the optimum."""
        ends = makespan(sorted(seconds, reverse=True), [1.0] * len(seconds), num, 99)
        bound = max(max(seconds), sum(seconds) / num)
        assert bound - 1e-6 <= ends <= sum(seconds) / num + max(seconds) + 1e-6

    @given(st.lists(st.floats(0.1, 100), min_size=1, max_size=20), st.integers(1, 4))
    def test_both_ways_of_counting_agree(self, seconds: list[float], num: int) -> None:
        """A slightly different part selects the general method, with the same result."""
        ones = [1.0] * len(seconds)
        general = makespan([*seconds, 0.0], [*ones, 0.999], num, 99)
        assert general == pytest.approx(makespan(seconds, ones, num, 99))


class TestOrder:
    def test_predicted_seconds_count_before_operations(self) -> None:
        """A short clip of a slow network may take longer."""
        small, large = grid(BASE, data_hz=(8_000, 32_000))
        assert longest_first([small, large], {}) == [large, small]
        slow = {small.key: flat(10), large.key: flat(5)}
        assert longest_first([large, small], slow) == [small, large]

    def test_one_unknown_trial_leaves_the_operations(self) -> None:
        """Seconds and operations cannot be compared."""
        small, large = grid(BASE, data_hz=(8_000, 32_000))
        assert longest_first([small, large], {small.key: flat(10)}) == [large, small]

    def test_operations_tell_networks_apart(self) -> None:
        """MobileNetV1 has a twentieth of CNN14's at the same frames; an uncounted network is compared by frames."""
        light = dataclasses.replace(BASE, backbone="mobilenetv1")
        unknown = dataclasses.replace(BASE, backbone="timm/vit_tiny_patch16_224.augreg_in21k", head_dropout=0)
        assert 20 < effort(BASE) / effort(light) < 30
        assert effort(dataclasses.replace(unknown, epochs=16)) == 2 * effort(unknown) > 0


class TestForecast:
    TRIALS = grid(BASE, seed=(1, 2, 3))
    PREDICTIONS = {t.key: flat(seconds) for t, seconds in zip(TRIALS, (3600, 1800, 1800), strict=True)}  # noqa: RUF012
    SMALL = {t.key: Needs(1.0, 1.0) for t in TRIALS}  # noqa: RUF012

    def test_adds_up_on_cores(self) -> None:
        """An hour runs beside two half hours, after the start of the cluster and of two workers."""
        basis = Basis({cell_of(BASE): MEASURED}, cluster=dataclasses.replace(ON_TWO_CPUS, join_s=5))
        total = forecast(self.TRIALS, self.PREDICTIONS, self.SMALL, basis, Asked())
        assert total.wall_s.mid == 3600 + 5 + 3
        assert total.device_s.mid == 7200 + 2 * 3
        assert total.num_unknown == 0

    def test_counts_the_share_of_a_gpu(self) -> None:
        """Trials of 3.5 GB with their worker have an eighth of 40 GB each, and run at once."""
        total = forecast(
            self.TRIALS, self.PREDICTIONS, self.SMALL, Basis(cluster=Cluster(8, 1)), Asked(gpu_memory_gb=40)
        )
        assert total.wall_s.mid == 3600
        assert total.device_s.mid == 7200 / 8

    def test_without_a_measurement_a_gpu_is_one_trial_s(self) -> None:
        """An assumed rate is that of a whole device."""
        unmeasured = {key: Prediction(p.seconds) for key, p in self.PREDICTIONS.items()}
        total = forecast(self.TRIALS, unmeasured, self.SMALL, Basis(cluster=Cluster(8, 1)), Asked(gpu_memory_gb=40))
        assert total.wall_s.mid == total.device_s.mid == 7200

    def test_what_has_run_here_had_its_share_of_a_gpu(self) -> None:
        """Finished trials took their time beside others."""
        past = {key: Prediction(p.seconds, num_finished=3) for key, p in self.PREDICTIONS.items()}
        total = forecast(self.TRIALS, past, self.SMALL, Basis(cluster=Cluster(8, 1)), Asked(gpu_memory_gb=40))
        assert (total.wall_s.mid, total.device_s.mid) == (3600, 7200 / 8)

    def test_memory_limits_how_many_run(self) -> None:
        """Two cores are useless if a trial takes all memory."""
        cluster = Cluster(2, memory_gb=5)
        needs = {t.key: Needs(2.0, 1.0) for t in self.TRIALS}
        total = forecast(self.TRIALS, self.PREDICTIONS, needs, Basis(cluster=cluster), Asked())
        assert total.wall_s.mid == 7200

    def test_counts_what_it_does_not_know(self) -> None:
        """Such a trial is in no sum."""
        first = {self.TRIALS[0].key: flat(60)}
        total = forecast(self.TRIALS, first, self.SMALL, Basis(cluster=ON_TWO_CPUS), Asked())
        assert (total.wall_s.mid, total.num_unknown) == (60, 2)
        assert forecast(self.TRIALS, {}, {}, Basis(), Asked()).num_unknown == 3

    def test_an_endless_memory_is_no_limit(self) -> None:
        """Nobody has inspected the cluster."""
        assert Cluster(4).memory_gb == math.inf
        total = forecast(self.TRIALS, self.PREDICTIONS, self.SMALL, Basis(cluster=Cluster(4)), Asked())
        assert total.wall_s.mid == 3600
