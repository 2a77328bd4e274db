"""What must hold of every interval, test and rating, whatever the data."""

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core import stats
from skyloom.core.stats import Score

COUNTS = st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
VALUES = st.lists(st.floats(-1e6, 1e6, allow_nan=False, allow_subnormal=False), min_size=2, max_size=40)
SEEDS = st.integers(0, 2**32)
quick = settings(max_examples=60, deadline=None)


@quick
@given(COUNTS)
def test_wilson_holds_the_point_and_is_symmetric(counts):
    k, n = counts
    ours, mirror = stats.wilson(k, n), stats.wilson(n - k, n)
    assert 0 <= ours.low <= ours.value <= ours.high <= 1
    assert ours.low < ours.high
    assert math.isclose(ours.low, 1 - mirror.high, abs_tol=1e-12)


@quick
@given(COUNTS, st.integers(2, 50), st.floats(0.5, 0.98))
def test_wilson_narrows_with_n_and_widens_with_confidence(counts, times, confidence):
    k, n = counts
    ours, more = stats.wilson(k, n, confidence), stats.wilson(k * times, n * times, confidence)
    assert more.high - more.low < ours.high - ours.low
    surer = stats.wilson(k, n, 0.99)
    assert surer.low <= ours.low
    assert ours.high <= surer.high


@quick
@given(VALUES, SEEDS)
def test_bootstrap_holds_the_point_stays_in_range_and_repeats(values, seed):
    ours = stats.bootstrap(values, np.random.default_rng(seed), resamples=200)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert min(values) - slack <= ours.low <= ours.value <= ours.high <= max(values) + slack
    assert ours == stats.bootstrap(values, np.random.default_rng(seed), resamples=200)


@quick
@given(VALUES, SEEDS, st.floats(-100, 100))
def test_bootstrap_moves_with_a_shift(values, seed, shift):
    ours = stats.bootstrap(values, np.random.default_rng(seed), resamples=200)
    moved = stats.bootstrap(np.array(values) + shift, np.random.default_rng(seed), resamples=200)
    spread = max(values) - min(values)
    if spread > 1e-3:  # below it the shift's rounding changes the sample itself
        # Rounding may flip a comparison with the point estimate, which moves the quantiles by a few of the 200 draws.
        assert abs((moved.value - shift) - ours.value) < 1e-6 * (1 + spread)
        assert abs((moved.low - shift) - ours.low) < 0.5 * spread


@quick
@given(VALUES, SEEDS)
def test_paired_bootstrap_of_a_system_with_itself_is_zero(values, seed):
    assert stats.paired_bootstrap(values, values, np.random.default_rng(seed), resamples=100)[:3] == (0, 0, 0)


@quick
@given(VALUES, st.data(), SEEDS)
def test_cluster_bootstrap_ignores_order_within_and_names_of_clusters(values, data, seed):
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(values), max_size=len(values)))
    if len(set(labels)) < 2:
        labels = [0] + [1] * (len(values) - 1)
    ours = stats.cluster_bootstrap(values, labels, np.random.default_rng(seed), resamples=100)
    named = stats.cluster_bootstrap(values, [f"c{x}" for x in labels], np.random.default_rng(seed), resamples=100)
    assert ours == named
    assert ours.n == len(set(labels))
    assert ours.low <= ours.value <= ours.high
    assert math.isclose(ours.value, float(np.mean(values)), rel_tol=1e-9, abs_tol=1e-6)


@quick
@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_symmetric_and_mid_p_is_bolder(only_a, only_b):
    mid, exact = stats.mcnemar(only_a, only_b), stats.mcnemar(only_a, only_b, "exact")
    assert 0 < mid.p <= exact.p <= 1
    assert mid.p == stats.mcnemar(only_b, only_a).p
    if only_a == only_b:
        assert exact.p == 1


@quick
@given(st.lists(st.floats(0, 1), max_size=30))
def test_holm_keeps_order_and_lies_between_raw_and_bonferroni(p):
    adjusted = stats.holm(p)
    raw = np.array(p)
    assert (adjusted >= raw).all()
    assert (adjusted <= np.minimum(1, raw * max(1, len(p))) + 1e-12).all()
    order = np.argsort(raw, kind="stable")
    assert (np.diff(adjusted[order]) >= 0).all()


@st.composite
def tables(draw: st.DrawFn) -> list[Score]:
    """A ring in which everyone has beaten the next player: always comparable; plus random games."""
    size = draw(st.integers(2, 7))
    count = st.integers(0, 20)
    names = [f"p{i}" for i in range(size)]
    ring = [Score(names[i], names[(i + 1) % size], draw(st.integers(1, 20)), draw(count)) for i in range(size)]
    pairs = st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda pair: pair[0] != pair[1])
    extra = [Score(*draw(pairs), draw(count), draw(count), draw(count)) for _ in range(draw(st.integers(0, 6)))]
    return ring + extra


@quick
@given(tables())
def test_ratings_explain_every_players_points(table):
    """The score equation of maximum likelihood: expected points equal points scored."""
    ratings = stats.bradley_terry(table)
    points = dict.fromkeys(ratings.players, 0.0)
    for game in table:
        n = game.wins_a + game.wins_b + game.draws
        expected = n / (1 + math.exp(-ratings.gap(game.player_a, game.player_b).value))
        surplus = game.wins_a + game.draws / 2 - expected
        points[game.player_a] += surplus
        points[game.player_b] -= surplus
    assert all(abs(surplus) < 1e-5 for surplus in points.values())
    assert abs(ratings.rating_P.sum()) < 1e-8


@quick
@given(tables(), st.integers(2, 9))
def test_more_of_the_same_games_keeps_ratings_and_narrows_intervals(table, times):
    more = [Score(g.player_a, g.player_b, *(times * count for count in g[2:])) for g in table]
    once, often = stats.elo(table), stats.elo(more)
    np.testing.assert_allclose(often.rating_P, once.rating_P, atol=1e-3)
    np.testing.assert_allclose(often.covariance_PP * times, once.covariance_PP, rtol=1e-4, atol=1e-3)


@quick
@given(tables(), st.floats(0.5, 5))
def test_a_prior_pulls_towards_the_mean(table, prior_draws):
    free, pulled = stats.bradley_terry(table), stats.bradley_terry(table, prior_draws=prior_draws)
    assert np.ptp(pulled.rating_P) <= np.ptp(free.rating_P) + 1e-9


REPLIES = st.lists(st.tuples(st.sampled_from([-2.0, -0.5, 0.0, 0.25, 1.0]), st.floats(-5, 5)), min_size=1, max_size=7)


@quick
@given(REPLIES)
def test_best_of_n_equals_enumeration(replies):
    """Every subset of size n, the mean gold of those that share its top score, averaged over subsets."""
    ours = stats.best_of_n(*np.array(replies).T)
    for n in range(1, len(replies) + 1):
        tops = []
        for drawn in itertools.combinations(replies, n):
            best = max(score for score, _ in drawn)
            tops.append(np.mean([gold for score, gold in drawn if score == best]))
        assert math.isclose(ours[n - 1], float(np.mean(tops)), rel_tol=1e-9, abs_tol=1e-9)


@quick
@given(REPLIES, st.randoms(use_true_random=False))
def test_best_of_n_laws(replies, shuffler):
    score, gold = np.array(replies).T
    ours, oracle = stats.best_of_n(score, gold), stats.best_of_n(gold, gold)
    assert math.isclose(ours[0], gold.mean(), rel_tol=1e-9, abs_tol=1e-9)  # one draw: the scorer does not matter
    assert (ours <= oracle + 1e-9).all()
    assert (np.diff(oracle) >= -1e-9).all()
    assert math.isclose(oracle[-1], gold.max(), rel_tol=1e-9, abs_tol=1e-9)
    mixed = shuffler.sample(replies, len(replies))
    np.testing.assert_allclose(stats.best_of_n(*np.array(mixed).T), ours, atol=1e-9)
    np.testing.assert_allclose(stats.best_of_n(3 * score + 7, gold), ours, atol=1e-9)  # order alone counts


OUTCOMES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=2, max_size=40)


@quick
@given(OUTCOMES, st.sampled_from(["count", "width"]), st.integers(1, 20), st.randoms(use_true_random=False))
def test_ece_lies_between_the_mean_gap_and_the_mean_absolute_gap(rows, binning, bins, shuffler):
    """One bin gives |mean gap|, a bin for each row the mean |gap|; the order of the rows does not matter."""
    sure, hit = np.array(rows).T

    def call(sure, hit):
        return stats.ece(sure, hit, np.random.default_rng(0), bins=bins, binning=binning, resamples=50)

    ours = call(sure, hit)
    assert abs((hit - sure).mean()) - 1e-12 <= ours.value <= np.abs(hit - sure).mean() + 1e-12
    assert 0 <= ours.low <= ours.value <= ours.high
    mixed = shuffler.sample(rows, len(rows))
    assert math.isclose(call(*np.array(mixed).T).value, ours.value, abs_tol=1e-12)
    if bins == 1:
        assert math.isclose(ours.value, abs((hit - sure).mean()), abs_tol=1e-12)
    floor = stats.ece_floor(sure, np.random.default_rng(0), bins=bins, binning=binning, resamples=50)
    assert 0 <= floor.low <= floor.high <= 1
