"""Calibration: planted temperatures, the laws of the fit, and files that are refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.reward import calibrate
from skyloom.reward.calibrate import Calibration

SCORES = st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=3, max_size=30)


def planted(n: int, temperature: float, *names: str | int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of chosen and rejected replies whose labels follow sigmoid(gap / temperature)."""
    rng = stream(4, "calibrate", *names)
    first, second = rng.normal(3, 2, n), rng.normal(3, 2, n)
    wins = rng.random(n) < expit((first - second) / temperature)
    return np.where(wins, first, second), np.where(wins, second, first)


def nll(chosen, rejected, temperature, label=1.0):
    p = expit((chosen - rejected) / temperature)
    return float(-np.mean(label * np.log(p) + (1 - label) * np.log1p(-p)))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_planted_temperature_lies_in_its_interval(temperature):
    found = calibrate.fit(*planted(20_000, temperature, "plant"))
    assert found.low <= temperature <= found.high
    assert found.high / found.low < 1.12
    assert found.temperature == pytest.approx(temperature, rel=0.05)
    assert (found.bound, found.n) == ("", 20_000)
    assert found.nll <= found.nll_raw
    assert found.mean == pytest.approx(3, abs=0.05)
    assert found.scale == pytest.approx(2, rel=0.02)
    assert found.interval[:4] == (found.temperature, found.low, found.high, 20_000)


def test_interval_covers_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        found = calibrate.fit(*planted(300, 1.5, "cover", seed))
        inside += found.low <= 1.5 <= found.high
    assert 0.90 <= inside / 200 <= 0.99


def test_fit_is_the_minimum_of_the_written_formula():
    rng = stream(4, "calibrate", "soft")
    chosen, rejected = rng.normal(1, 2, 80), rng.normal(0, 2, 80)
    label = np.clip(expit((chosen - rejected) / 1.5) + rng.uniform(-0.2, 0.2, 80), 0, 1)
    found = calibrate.fit(chosen, rejected, label)
    best = minimize_scalar(
        lambda log_t: nll(chosen, rejected, math.exp(log_t), label), bounds=(-5, 5), method="bounded"
    )
    assert math.log(found.temperature) == pytest.approx(best.x, abs=1e-4)
    assert found.nll == pytest.approx(nll(chosen, rejected, found.temperature, label))
    assert found.nll_raw == pytest.approx(nll(chosen, rejected, 1.0, label))
    # Profile: 2 n times the excess at either end is chi-square's 95% point, 3.8415.
    for end in (found.low, found.high):
        assert 160 * (nll(chosen, rejected, end, label) - found.nll) == pytest.approx(3.841459, abs=1e-4)


def test_soft_labels_and_weights_are_repeated_pairs():
    chosen, rejected = planted(200, 1.0, "repeat")
    chosen[:9], rejected[:9] = rejected[:9].copy(), chosen[:9].copy()
    times = stream(4, "calibrate", "times").integers(1, 4, 200)
    weighted = calibrate.fit(chosen, rejected, weight_N=times)
    spelt = calibrate.fit(np.repeat(chosen, times), np.repeat(rejected, times))
    for name in ("temperature", "mean", "scale", "nll", "nll_raw"):
        assert getattr(weighted, name) == pytest.approx(getattr(spelt, name), rel=1e-9), name
    assert weighted.low < spelt.low  # a repeated pair is no new evidence: Kish counts fewer
    halves = calibrate.fit(chosen, rejected, np.full(200, 0.75))
    both = [np.r_[np.repeat(chosen, 3), rejected], np.r_[np.repeat(rejected, 3), chosen]]
    assert halves.temperature == pytest.approx(calibrate.fit(*both).temperature, rel=1e-9)


def test_data_without_a_minimum_ends_at_a_named_bound():
    rng = stream(4, "calibrate", "bounds")
    low, gap = rng.normal(size=50), rng.uniform(0.5, 2, 50)
    right, wrong = calibrate.fit(low + gap, low), calibrate.fit(low, low + gap)
    spread = math.sqrt(np.mean(gap**2))
    assert (right.bound, wrong.bound) == ("separable", "no signal")
    assert right.temperature == pytest.approx(spread / calibrate.LIMIT)
    assert wrong.temperature == pytest.approx(spread * calibrate.LIMIT)
    assert right.low == right.temperature < right.high < spread
    assert wrong.high == wrong.temperature
    tied = calibrate.fit(low, low)
    assert tied.bound == "no signal"
    assert tied.nll == pytest.approx(math.log(2))
    Calibration.from_json(json.loads(json.dumps(right.to_json())))  # finite, so it can be stored


@settings(max_examples=60, deadline=None)
@given(SCORES, st.floats(0.01, 100), st.floats(-100, 100), st.integers(0, 2**32))
def test_scores_on_another_scale_give_the_same_probabilities(pairs, factor, shift, seed):
    chosen, rejected = np.array(pairs).T
    if np.ptp(np.r_[chosen, rejected]) < 1e-3 or np.abs(chosen - rejected).max() < 1e-3:
        return
    label = np.random.default_rng(seed).uniform(0.05, 0.95, len(pairs))
    one = calibrate.fit(chosen, rejected, label)
    other = calibrate.fit(factor * chosen + shift, factor * rejected + shift, label)
    assert one.bound == other.bound
    assert other.temperature == pytest.approx(factor * one.temperature, rel=1e-5)
    assert other.high == pytest.approx(factor * one.high, rel=1e-5)
    np.testing.assert_allclose(other.normal(factor * chosen + shift), one.normal(chosen), atol=1e-6)
    gap = chosen - rejected
    np.testing.assert_allclose(other.p_win(factor * gap), one.p_win(gap), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(SCORES, st.integers(0, 2**32))
def test_swapped_sides_with_swapped_labels_change_nothing(pairs, seed):
    chosen, rejected = np.array(pairs).T
    if np.ptp(np.r_[chosen, rejected]) < 1e-3:
        return
    rng = np.random.default_rng(seed)
    label, swap = rng.uniform(0, 1, len(pairs)), rng.random(len(pairs)) < 0.5
    one = calibrate.fit(chosen, rejected, label)
    other = calibrate.fit(
        np.where(swap, rejected, chosen), np.where(swap, chosen, rejected), np.where(swap, 1 - label, label)
    )
    assert other.temperature == pytest.approx(one.temperature, rel=1e-6)
    assert other.nll == pytest.approx(one.nll, abs=1e-9)
    assert one.nll <= min(one.nll_raw, math.log(2)) + 1e-2  # the bound of the search costs at most that


def test_probabilities_and_normalised_scores():
    chosen, rejected = planted(500, 2.0, "apply")
    found = calibrate.fit(chosen, rejected)
    both = np.r_[chosen, rejected]
    assert found.normal(both).mean() == pytest.approx(0, abs=1e-12)
    assert found.normal(both).std() == pytest.approx(1)
    assert found.p_win(0.0) == 0.5
    assert found.normal(found.mean) == 0
    np.testing.assert_allclose(found.p_win([-1.0, 1.0]).sum(), 1)
    assert found.p_win(1e6) == 1.0


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([1.0], [0.0]), "at least two pairs"),
        (([], []), "at least two pairs"),
        (([1.0, 2.0], [0.0, 1.0], None, [0.0, 1.0]), "at least two pairs"),
        (([1.0, 2.0], [0.0]), r"one length, got \(2,\), \(1,\)"),
        (([1.0, math.nan], [0.0, 1.0]), "pair 1: chosen nan"),
        (([1.0, 2.0, 3.0], [0.0, 1.0, 1.0], [1.0, 1.5, 0.0]), "pair 1: .*label 1.5"),
        (([1.0, 2.0], [0.0, 1.0], None, [1.0, -1.0]), "pair 1: .*weight -1"),
        (([2.0, 2.0], [2.0, 2.0]), "all scores equal 2"),
    ],
)
def test_fit_refuses(columns, message):
    with pytest.raises(BadInput, match=message):
        calibrate.fit(*columns)


def test_file_round_trip(tmp_path):
    found = calibrate.fit(*planted(100, 1.0, "file"))
    found.save(tmp_path / calibrate.FILE)
    assert Calibration.load(tmp_path / calibrate.FILE) == found


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("temperature", 0.0, "low <= temperature"),
        ("temperature", "1", "temperature: expected a number"),
        ("scale", -1.0, "scale > 0"),
        ("n", 1, "n >= 2"),
        ("bound", "maybe", "bound: is empty"),
        ("mean", None, "mean: expected a number"),
        ("nll", -0.1, "nll >= 0"),
    ],
)
def test_a_bad_file_is_named(tmp_path, field, value, message):
    good = calibrate.fit(*planted(100, 1.0, "file")).to_json()
    path = tmp_path / calibrate.FILE
    path.write_text(json.dumps({**good, field: value}))
    with pytest.raises(BadInput, match=rf"calibration\.json.*{message}"):
        Calibration.load(path)
    path.write_text(json.dumps({key: kept for key, kept in good.items() if key != field}))
    with pytest.raises(BadInput, match=f"{field}: missing"):
        Calibration.load(path)
    for broken in ("{", "[]", '{"temperature": NaN}'):
        path.write_text(broken)
        with pytest.raises(BadInput, match=r"calibration\.json"):
            Calibration.load(path)
