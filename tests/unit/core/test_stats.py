"""Statistics against published examples, scipy and statsmodels."""

import math

import numpy as np
import pytest
import scipy.stats
import statsmodels.api as sm
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from skyloom.core import stats
from skyloom.core.errors import BadInput
from skyloom.core.stats import Score

# Agresti, Categorical Data Analysis (2002), table 10.10: 1987 season, American League East; 13 games a pair.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
WINS_77 = (
    (0, 7, 9, 7, 7, 9, 11),
    (6, 0, 7, 5, 11, 9, 9),
    (4, 6, 0, 7, 7, 8, 12),
    (6, 8, 6, 0, 6, 7, 10),
    (6, 2, 6, 7, 0, 7, 12),
    (4, 4, 5, 6, 6, 0, 6),
    (2, 4, 1, 3, 1, 7, 0),
)
BASEBALL = [Score(TEAMS[i], TEAMS[j], WINS_77[i][j], WINS_77[j][i]) for i in range(7) for j in range(i + 1, 7)]
AGRESTI = {"Milwaukee": 1.58, "Detroit": 1.44, "Toronto": 1.29, "New York": 1.25, "Boston": 1.11, "Cleveland": 0.68}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("k", "n"), [(71, 100), (0, 10), (10, 10), (1, 3), (4999, 10_000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_wilson_equals_statsmodels(k, n, confidence):
    low, high = proportion_confint(k, n, alpha=1 - confidence, method="wilson")
    ours = stats.wilson(k, n, confidence)
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-12)
    assert (ours.value, ours.n, ours.method) == (k / n, n, "Wilson")


def test_wilson_published_example():
    # Newcombe 1998, table I: 81 of 263, Wilson score without continuity correction.
    ours = stats.wilson(81, 263)
    assert (round(ours.low, 4), round(ours.high, 4)) == (0.2553, 0.3662)


@pytest.mark.parametrize(("k", "n"), [(1, 0), (-1, 5), (6, 5), (math.nan, 5)])
def test_wilson_refuses(k, n):
    with pytest.raises(BadInput, match="proportion"):
        stats.wilson(k, n)


def test_confidence_is_checked():
    with pytest.raises(BadInput, match="confidence"):
        stats.wilson(1, 2, confidence=95)


def test_precision_recall_names_both_denominators():
    precision, recall = stats.precision_recall(hits=8, found=10, planted=20)
    assert precision == stats.wilson(8, 10)
    assert recall == stats.wilson(8, 20)
    assert stats.precision_recall(0, 0, 5) == (None, stats.wilson(0, 5))
    with pytest.raises(BadInput, match="hits"):
        stats.precision_recall(11, 10, 20)


@pytest.mark.parametrize("n", [7, 60, 301])
def test_bootstrap_equals_scipy_draw_for_draw(n, monkeypatch):
    monkeypatch.setattr(stats, "CHUNK", 10_000)  # several chunks: the stream of draws must not depend on them
    values = rng(3).exponential(size=n)
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=999, method="BCa", rng=rng(4)).confidence_interval
    ours = stats.bootstrap(values, rng(4), resamples=999)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)
    assert ours.value == pytest.approx(values.mean())
    assert ours.n == n


def test_bootstrap_of_a_statistic_equals_scipy():
    values = rng(5).lognormal(size=50)
    theirs = scipy.stats.bootstrap((values,), np.std, n_resamples=999, method="BCa", rng=rng(6)).confidence_interval
    ours = stats.bootstrap(values, rng(6), statistic=lambda sample_RN: sample_RN.std(axis=1), resamples=999)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-9)


def test_bootstrap_of_columns_can_average_sections():
    # Section 0 is always right, section 1 never: the mean of the section means is 1/2 whatever their sizes.
    rows = np.array([[1.0, 0.0]] * 90 + [[0.0, 1.0]] * 10)

    def section_mean(sample_RND):
        right, section = sample_RND[..., 0], sample_RND[..., 1]
        in_1 = section.sum(axis=1)
        return ((right * (1 - section)).sum(axis=1) / (100 - in_1) + (right * section).sum(axis=1) / in_1.clip(1)) / 2

    assert stats.bootstrap(rows, rng(), statistic=section_mean, resamples=200).value == 0.5


def test_bootstrap_covers_the_true_mean():
    covered = 0
    for seed in range(300):
        interval = stats.bootstrap(rng(seed).gamma(2.0, size=40), rng(1000 + seed), resamples=500)
        covered += interval.low <= 2.0 <= interval.high
    assert 0.89 <= covered / 300 <= 0.98  # BCa on 40 skewed values covers a little less than 95%


def test_bootstrap_of_a_constant_has_no_width():
    assert stats.bootstrap([0.25] * 9, rng())[:4] == (0.25, 0.25, 0.25, 9)


@pytest.mark.parametrize("values", [[1.0], [], [1.0, math.nan], 3.0])
def test_bootstrap_refuses(values):
    with pytest.raises(BadInput, match="at least two finite values"):
        stats.bootstrap(values, rng())


def test_paired_bootstrap_is_the_bootstrap_of_differences():
    a, b = rng(7).normal(size=80), rng(8).normal(size=80)
    paired = stats.paired_bootstrap(a + 5 * b, 5 * b, rng(9))
    assert paired[:4] == pytest.approx(stats.bootstrap(a, rng(9))[:4])
    assert paired.method == "paired BCa bootstrap"
    with pytest.raises(BadInput, match="80 and 79"):
        stats.paired_bootstrap(a, b[1:], rng())


def test_cluster_bootstrap_of_singletons_is_the_bootstrap():
    values = rng(10).exponential(size=50)
    clustered = stats.cluster_bootstrap(values, [f"problem {i:02}" for i in range(50)], rng(11))
    assert clustered[:4] == pytest.approx(stats.bootstrap(values, rng(11))[:4])


def test_cluster_bootstrap_sees_the_clusters():
    # 30 problems, 20 identical answers each: the information of 30 observations, not of 600.
    scores_C = rng(12).normal(size=30)
    clustered = stats.cluster_bootstrap(np.repeat(scores_C, 20), np.repeat(np.arange(30), 20), rng(13))
    assert clustered[:4] == pytest.approx(stats.bootstrap(scores_C, rng(13))[:4])
    naive = stats.bootstrap(np.repeat(scores_C, 20), rng(13), resamples=500)
    assert clustered.high - clustered.low > 3 * (naive.high - naive.low)
    for labels, message in (([0] * 4, "two clusters"), ([0, 1], "label")):
        with pytest.raises(BadInput, match=message):
            stats.cluster_bootstrap([1.0, 2.0, 3.0, 4.0], labels, rng())


def test_mcnemar_published_example():
    # Fagerland, Lydersen & Laake 2013, airway hyper-responsiveness: 1 against 7 discordant pairs.
    assert stats.mcnemar(1, 7, "exact").p == pytest.approx(0.0703, abs=5e-5)
    assert stats.mcnemar(1, 7).p == pytest.approx(0.0391, abs=5e-5)
    assert stats.mcnemar(1, 7).method == "McNemar mid-p"


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 5), (3, 9), (40, 61), (12, 12), (0, 0)])
def test_mcnemar_equals_statsmodels_and_definition(only_a, only_b):
    if only_a + only_b:
        theirs = statsmodels_mcnemar([[50, only_a], [only_b, 50]], exact=True).pvalue
        assert stats.mcnemar(only_a, only_b, "exact").p == pytest.approx(min(theirs, 1.0))
    k, coin = min(only_a, only_b), scipy.stats.binom(only_a + only_b, 0.5)
    assert stats.mcnemar(only_a, only_b).p == pytest.approx(2 * coin.cdf(k) - coin.pmf(k))
    with pytest.raises(BadInput, match="counts"):
        stats.mcnemar(-1, 3)


def test_holm_known_and_statsmodels():
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p = rng(14).uniform(0, 0.2, 25)
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert stats.holm([]).shape == (0,)
    with pytest.raises(BadInput, match="between 0 and 1"):
        stats.holm([0.5, 1.5])


def test_bradley_terry_published_example():
    ratings = stats.bradley_terry(BASEBALL)
    gaps = {team: round(ratings.gap(team, "Baltimore").value, 2) for team in AGRESTI}
    assert gaps == AGRESTI
    assert ratings.rating_P.sum() == pytest.approx(0, abs=1e-12)
    assert set(ratings.games_P) == {78}


def test_bradley_terry_intervals_equal_logistic_regression():
    place = {team: i for i, team in enumerate(sorted(TEAMS))}
    design = np.zeros((len(BASEBALL), 7))
    for row, game in enumerate(BASEBALL):
        design[row, place[game.player_a]], design[row, place[game.player_b]] = 1, -1
    counts = np.array([[game.wins_a, game.wins_b] for game in BASEBALL])
    fit = sm.GLM(counts, np.delete(design, place["Baltimore"], axis=1), family=sm.families.Binomial()).fit()
    ratings = stats.bradley_terry(BASEBALL)
    for team, low_high in zip((t for t in sorted(TEAMS) if t != "Baltimore"), fit.conf_int(), strict=True):
        gap = ratings.gap(team, "Baltimore")
        assert (gap.low, gap.high) == pytest.approx(tuple(low_high), abs=1e-6)


def test_draws_count_half_and_order_does_not_matter():
    split = stats.bradley_terry([Score("a", "b", 3, 1, 2)])
    assert split.gap("a", "b").value == pytest.approx(math.log(4 / 2))
    turned = stats.bradley_terry([Score("b", "a", 1, 1, 0), Score("a", "b", 2, 0, 2)])
    np.testing.assert_allclose(turned.rating_P, split.rating_P)
    np.testing.assert_allclose(turned.covariance_PP, split.covariance_PP)


def test_elo_scale_centre_and_anchor():
    table = [Score("bot", "agent", 1, 10)]
    free = stats.elo(table)
    assert free.gap("agent", "bot").value == pytest.approx(400)  # ten to one
    assert free.rating_P.mean() == pytest.approx(1500)
    anchored = stats.elo(table, anchor="bot", centre=1000)
    assert anchored.interval("bot")[:3] == pytest.approx((1000, 1000, 1000))
    assert anchored.interval("agent").value == pytest.approx(1400)
    # Anchored, the agent's whole uncertainty is the gap's; centred on the mean each carries half of it.
    assert anchored.gap("agent", "bot")[:3] == pytest.approx(free.gap("agent", "bot")[:3])
    assert free.interval("agent").high - 1700 == pytest.approx((anchored.interval("agent").high - 1400) / 2)


def test_elo_interval_of_two_players_is_the_delta_method():
    # Var(log odds) = 1/wins + 1/losses.
    gap = stats.elo([Score("a", "b", 60, 40)]).gap("a", "b")
    half = scipy.stats.norm.ppf(0.975) * math.sqrt(1 / 60 + 1 / 40) * 400 / math.log(10)
    assert gap.high - gap.value == pytest.approx(half)
    assert gap.n == 100


def test_unratable_players_are_named():
    with pytest.raises(BadInput, match=r"a, b \| c, d.*prior_draws"):
        stats.bradley_terry([Score("a", "b", 1, 1), Score("c", "d", 1, 1)])
    with pytest.raises(BadInput, match=r"scored against king, so no finite.*prior_draws"):
        stats.elo([Score("king", "a", 9, 0), Score("a", "b", 5, 4), Score("b", "king", 0, 7)])
    with pytest.raises(BadInput, match="at least one game"):
        stats.elo([])
    with pytest.raises(BadInput, match="row 1"):
        stats.elo([Score("a", "b", 1, 1), Score("a", "a", 1, 1)])
    with pytest.raises(BadInput, match="rated are: a, b"):
        stats.elo([Score("a", "b", 1, 1)], anchor="c")


def test_prior_rates_the_undefeated_and_the_unlinked():
    ratings = stats.bradley_terry([Score("king", "a", 50, 0), Score("c", "d", 2, 1)], prior_draws=1)
    assert ratings.rating_P[ratings.index("king")] == max(ratings.rating_P)
    assert "prior of 1 draws" in ratings.method
    # By symmetry the ratings are x and -x; their gradient at the maximum is zero.
    x = stats.bradley_terry([Score("w", "l", 1, 0)], prior_draws=1).gap("w", "l").value / 2
    assert 1 - scipy.special.expit(2 * x) == pytest.approx(scipy.special.expit(x) - 0.5)


def test_ratings_recover_planted_strengths_at_size():
    truth = np.linspace(-2, 2, 40)
    draw, table = rng(15), []
    for i in range(40):
        for j in range(i):
            wins = int(draw.binomial(30, 1 / (1 + math.exp(truth[j] - truth[i]))))
            table.append(Score(f"p{i:02}", f"p{j:02}", wins, 30 - wins))
    ratings = stats.bradley_terry(table)
    intervals = [ratings.interval(f"p{i:02}") for i in range(40)]
    inside = sum(interval.low <= truth[i] <= interval.high for i, interval in enumerate(intervals))
    assert inside >= 34


def calibrated(n: int, seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Confidences in favour of the likelier side, and outcomes that follow them where sharpness is 1."""
    odds = np.abs(rng(seed).normal(0, 1.5, n))
    return scipy.special.expit(odds * sharpness), rng(seed + 1).random(n) < scipy.special.expit(odds)


@pytest.mark.parametrize("binning", ["count", "width"])
def test_ece_tells_a_calibrated_model_from_an_overconfident_one(binning):
    sure, hit = calibrated(4000, 20)
    ours, floor = stats.ece(sure, hit, rng(), binning=binning), stats.ece_floor(sure, rng(), binning=binning)
    assert ours.value < 0.04
    assert floor.low <= ours.value <= floor.high
    bold, hit = calibrated(4000, 20, sharpness=2.0)
    off = stats.ece(bold, hit, rng(), binning=binning)
    true = float(np.mean(bold - scipy.special.expit(scipy.special.logit(bold) / 2)))
    assert off.low <= true <= off.high
    assert off.low > stats.ece_floor(bold, rng(), binning=binning).high
    assert (off.n, off.method) == (4000, f"basic bootstrap, 15 bins of equal {binning}")


def test_ece_is_the_written_formula():
    sure, hit = calibrated(300, 22)
    order = np.argsort(sure)
    by_count = sum(abs((hit[part] - sure[part]).mean()) * 20 / 300 for part in np.split(order, 15))
    assert stats.ece(sure, hit, rng()).value == pytest.approx(by_count)
    by_width = sum(
        abs((hit[bin_] - sure[bin_]).mean()) * bin_.mean()
        for bin_ in ((np.ceil(sure * 10) == k) for k in range(1, 11))
        if bin_.any()
    )
    assert stats.ece(sure, hit, rng(), bins=10, binning="width").value == pytest.approx(by_width)


def test_ece_by_hand():
    # 0.6 twice, one right: |0.5 - 0.6| = 0.1 on half of the rows; 0.9 twice, both right: 0.1 on the other half.
    assert stats.ece([0.6, 0.6, 0.9, 0.9], [1, 0, 1, 1], rng(), bins=2).value == pytest.approx(0.1)
    assert stats.ece([0.5] * 10, [1, 0] * 5, rng()).value == 0  # one confidence, one bin, whatever the order
    assert stats.ece([1.0, 1.0], [1, 1], rng())[:3] == (0, 0, 0)
    assert stats.ece([1.0, 1.0], [0, 0], rng())[:3] == (1, 1, 1)


def test_ece_interval_covers_a_real_miscalibration():
    bold, _ = calibrated(400_000, 30, sharpness=2.0)
    true = float(np.mean(bold - scipy.special.expit(scipy.special.logit(bold) / 2)))
    covered = 0
    for seed in range(150):
        ours = stats.ece(*calibrated(1000, 1000 + 2 * seed, sharpness=2.0), rng(seed), resamples=300)
        covered += ours.low <= true <= ours.high
    assert 0.86 <= covered / 150 <= 0.99


def test_ece_and_brier_of_clusters():
    sure, hit = calibrated(200, 24, sharpness=2.0)
    labels = [f"problem {k:03}" for k in range(200)]
    assert stats.ece(sure, hit, rng(3), cluster_N=labels)[:4] == pytest.approx(stats.ece(sure, hit, rng(3))[:4])
    thrice = [np.repeat(column, 3) for column in (sure, hit)]
    tripled = stats.ece(*thrice, rng(3), cluster_N=np.repeat(labels, 3))
    assert tripled.n == 200
    assert tripled.value == pytest.approx(stats.ece(sure, hit, rng(3)).value, abs=0.02)  # edges move by an item
    assert tripled.high - tripled.low > 1.4 * np.subtract(*stats.ece(*thrice, rng(3))[2:0:-1])
    clustered = stats.brier(*thrice, rng(3), cluster_N=np.repeat(labels, 3))
    assert clustered[:4] == pytest.approx(stats.brier(sure, hit, rng(3))[:4])
    # Every row is wholly wrong, so is every resample, however the sizes of its clusters add up.
    assert stats.ece([1.0] * 6, [0] * 6, rng(), cluster_N=list("abbccc"))[:4] == (1, 1, 1, 3)


def test_brier_against_its_definition():
    sure, hit = calibrated(500, 26)
    ours = stats.brier(sure, hit, rng())
    assert ours.value == pytest.approx(((sure - hit) ** 2).mean())
    assert ours.low < ours.value < ours.high
    assert stats.brier([0.5] * 4, [0, 1, 1, 0], rng()).value == 0.25


@pytest.mark.parametrize("call", [stats.ece, stats.brier])
def test_probabilities_are_checked(call):
    for sure, hit, message in (
        ([0.5, 1.5], [0, 1], "between 0 and 1"),
        ([0.5, 0.5], [0, 2], "between 0 and 1"),
        ([0.5, 0.5], [0, 1, 1], "one outcome"),
        ([0.5], [1], "at least two"),
        ([0.5, math.nan], [0, 1], "finite"),
    ):
        with pytest.raises(BadInput, match=message):
            call(sure, hit, rng())
    with pytest.raises(BadInput, match="cluster"):
        call([0.5, 0.6], [0, 1], rng(), cluster_N=["a", "a"])
    for bins in (0, -1):
        with pytest.raises(BadInput, match="at least one bin"):
            stats.ece([0.5, 0.6], [0, 1], rng(), bins=bins)


def test_best_of_n_by_hand():
    # Scores rank gold 0, 1, 0.5 upwards. Of the three pairs two hold the top (0.5), one does not (1).
    assert stats.best_of_n([1.0, 2.0, 3.0], [0.0, 1.0, 0.5]) == pytest.approx([0.5, 2 / 3, 0.5])
    assert stats.best_of_n([7.0] * 4, [0, 0, 0, 1]) == pytest.approx([0.25] * 4)  # ties share: a draw at random
    assert stats.best_of_n([0.3], [2.5]) == pytest.approx([2.5])
    many = stats.best_of_n(np.arange(1000), np.arange(1000))
    assert np.isfinite(many).all()
    assert many[[0, 1, -1]] == pytest.approx([999 / 2, 2 * 1001 / 3 - 1, 999])  # E max of n: n (K + 1)/(n + 1) - 1
    for score, gold in (([], []), ([1.0], [1.0, 2.0]), ([math.nan], [1.0]), ([[1.0]], [[1.0]])):
        with pytest.raises(BadInput, match="best of n"):
            stats.best_of_n(score, gold)


def test_the_floor_of_ece_holds_where_nearly_every_confidence_is_one():
    sure = np.full(200, 1 - 1e-9)
    sure[:2] = 0.97
    found = stats.ece_floor(sure, np.random.default_rng(0))
    assert found.low <= found.value <= found.high
