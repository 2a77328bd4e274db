"""Statistics: the interval, the test or the rating behind every number that Skyloom reports.

Formula  stands in each function's docstring, with its source
Flow     evaluate and report call it; it never reads or writes a file
Run      stats.wilson(k=71, n=100) -> Interval(value=0.71, low=0.61…, high=0.79…, n=100, method="Wilson")
Choice   a proportion -> wilson; any other mean -> bootstrap; rows that share a problem, a game or an author ->
         cluster_bootstrap; two systems on the same items -> paired_bootstrap and mcnemar; many tests -> holm;
         players who met in pairs -> bradley_terry or elo; stated confidences -> ece with ece_floor, and brier; the best of
         n drawn -> best_of_n
Shapes   N observations, C clusters (or other independent units), R resamples, M hypotheses, P players, B bins, K replies
Random   nothing is drawn except through the `rng` argument, so one seed gives one interval
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike
from scipy.sparse.csgraph import connected_components
from scipy.special import bdtr, expit, ndtr, ndtri

from skyloom.core.errors import BadInput, FailedWork

CONFIDENCE: float = 0.95
RESAMPLES: int = 4000  # Efron & Tibshirani 1993, 14.3: BCa wants 1000 or more; 4000 steadies the third digit
CHUNK: int = 4_000_000  # draws held in memory at once: 32 MB of indices
ELO_SCALE: float = 400 / math.log(10)  # Elo 1978: 400 points are odds of ten to one
ELO_CENTRE: float = 1500.0

Statistic: TypeAlias = Callable[[Shaped[np.ndarray, "R N ..."]], Float[np.ndarray, " R"]]


class Interval(NamedTuple):
    """A point estimate with its two-sided interval, the number of independent observations and how it was made."""

    value: float
    low: float
    high: float
    n: int
    method: str


class PrecisionRecall(NamedTuple):
    """Of what was found, the share that is right; of what was there, the share that was found. None where 0/0."""

    precision: Interval | None
    recall: Interval | None


class PairedTest(NamedTuple):
    """Two systems on the same items: how often only one of them is right, and how surprising that split is."""

    only_a: int
    only_b: int
    p: float
    method: str


class Score(NamedTuple):
    """The games between two players, added up; the order of the two does not matter."""

    player_a: str
    player_b: str
    wins_a: int
    wins_b: int
    draws: int = 0


def wilson(k: float, n: int, confidence: float = CONFIDENCE) -> Interval:
    """Interval of a proportion, k successes in n trials; a tie may count as half a success.

    (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n), p = k/n: Wilson 1927. Stays inside [0, 1] and keeps a width
    when k is 0 or n. Raises BadInput unless n >= 1 and 0 <= k <= n.
    """
    if n < 1 or not 0 <= k <= n:
        raise BadInput(f"a proportion needs 0 <= k <= n and n >= 1, got k={k}, n={n}")
    p = k / n
    z = _normal_z(confidence)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At k = 0 and k = n the formula touches 0 and 1 only up to rounding.
    return Interval(p, max(0.0, min(centre - half, p)), min(1.0, max(centre + half, p)), n, "Wilson")


def precision_recall(hits: int, found: int, planted: int, confidence: float = CONFIDENCE) -> PrecisionRecall:
    """hits/found and hits/planted, each with its Wilson interval.

    Raises BadInput when there are more hits than found or planted rows.
    """
    if not 0 <= hits <= min(found, planted):
        raise BadInput(f"hits must lie between 0 and found and planted, got {hits=}, {found=}, {planted=}")
    precision = wilson(hits, found, confidence) if found else None
    return PrecisionRecall(precision, wilson(hits, planted, confidence) if planted else None)


def bootstrap(
    values_N: ArrayLike,
    rng: np.random.Generator,
    *,
    statistic: Statistic | None = None,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Interval of a mean, or of any `statistic`, by the bias-corrected accelerated (BCa) bootstrap.

    Efron 1987; Efron & Tibshirani 1993, 14.3; the draws and the result equal scipy.stats.bootstrap's. The first axis of
    values_N counts the independent observations. `statistic` maps resampled (R, N, ...) to (R,): with columns (score,
    section) it can be a mean of section means. Time grows with R·N, with a custom statistic also with N². A sample
    whose statistic never varies gets a width of zero. Raises BadInput below two observations or for a NaN.
    """
    values = _sample(values_N, "values")
    if statistic is None:
        ones_N = np.ones(len(values))
        return _ratio_bootstrap(values, ones_N, rng, resamples, confidence, "BCa bootstrap")
    resampled_R = np.concatenate([statistic(values[index]) for index in _draws(len(values), resamples, rng)])
    point = float(statistic(values[None])[0])
    return _bca(point, resampled_R, _jackknife(values, statistic), confidence, "BCa bootstrap")


def paired_bootstrap(
    a_N: ArrayLike,
    b_N: ArrayLike,
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Interval of mean(a - b) where a and b score the same N items: items are resampled, so pairs stay together.

    Raises BadInput when the lengths differ. For items in clusters call cluster_bootstrap on a - b.
    """
    first_N, second_N = _sample(a_N, "first scores"), _sample(b_N, "second scores")
    if len(first_N) != len(second_N):
        raise BadInput(f"a paired bootstrap needs two scores for each item, got {len(first_N)} and {len(second_N)}")
    method = "paired BCa bootstrap"
    return _ratio_bootstrap(first_N - second_N, np.ones(len(first_N)), rng, resamples, confidence, method)


def cluster_bootstrap(
    values_N: ArrayLike,
    cluster_N: ArrayLike,
    rng: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """Interval of the mean of all N values where whole clusters are resampled, not values; n is the cluster count.

    Field & Welsh 2007 (cluster bootstrap); the mean is Σ cluster sums / Σ cluster sizes. `cluster_N` holds any labels.
    Raises BadInput below two clusters.
    """
    value_N = _sample(values_N, "values")
    _, of_N = np.unique(np.asarray(cluster_N), return_inverse=True)
    if len(of_N) != len(value_N):
        raise BadInput(f"a cluster bootstrap needs one label for each value, got {len(of_N)} for {len(value_N)} values")
    sum_C, size_C = np.bincount(of_N, weights=value_N), np.bincount(of_N).astype(np.float64)
    if len(sum_C) < 2:
        raise BadInput("a cluster bootstrap needs at least two clusters, got one")
    return _ratio_bootstrap(sum_C, size_C, rng, resamples, confidence, "cluster BCa bootstrap")


def mcnemar(only_a: int, only_b: int, method: Literal["mid-p", "exact"] = "mid-p") -> PairedTest:
    """Are two systems equally often right on the same items? Looks only at the items where they differ.

    With k = min(only_a, only_b) and X ~ Binomial(only_a + only_b, 1/2): exact p = 2 P(X <= k), McNemar 1947; mid-p =
    2 P(X < k) + P(X = k), which Fagerland, Lydersen & Laake 2013 advise (exact is conservative). No difference: p = 1.
    """
    if min(only_a, only_b) < 0:
        raise BadInput(f"McNemar's test needs counts >= 0, got {only_a} and {only_b}")
    k, n = min(only_a, only_b), only_a + only_b
    at_most, below = float(bdtr(k, n, 0.5)), float(bdtr(k - 1, n, 0.5)) if k else 0.0
    p = 2 * at_most if method == "exact" else at_most + below
    return PairedTest(only_a, only_b, min(1.0, p), f"McNemar {method}")


def holm(p_M: ArrayLike) -> Float[np.ndarray, " M"]:
    """Adjusted p-values of M tests: reject those at or below alpha and the chance of any false rejection is <= alpha.

    Holm 1979: sorted ascending, p_(i) becomes the largest of (M - j + 1) p_(j) over j <= i, at most 1.
    """
    p = np.asarray(p_M, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise BadInput("Holm's correction needs a list of p-values between 0 and 1")
    order_M = np.argsort(p, kind="stable")
    stepped_M = np.maximum.accumulate((len(p) - np.arange(len(p))) * p[order_M])
    adjusted_M = np.empty_like(p)
    adjusted_M[order_M] = np.minimum(stepped_M, 1.0)
    return adjusted_M


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratings:
    """Strengths of P players on one scale, with their joint covariance; made by bradley_terry and elo."""

    players: tuple[str, ...]
    """Sorted names; every array has their order."""
    rating_P: Float[np.ndarray, " P"]
    """Rating; only differences carry information."""
    covariance_PP: Float[np.ndarray, "P P"]
    """Covariance of rating_P, relative to the zero that the scale uses."""
    games_P: Int[np.ndarray, " P"]
    """Games of each player."""
    method: str
    """Estimator, zero of the scale and prior, in words."""

    def interval(self, player: str, confidence: float = CONFIDENCE) -> Interval:
        """The player's rating; n counts that player's games."""
        i = self.index(player)
        return self._normal(float(self.rating_P[i]), float(self.covariance_PP[i, i]), int(self.games_P[i]), confidence)

    def gap(self, player_a: str, player_b: str, confidence: float = CONFIDENCE) -> Interval:
        """rating(a) - rating(b), tighter than the two intervals suggest where they are correlated; n: fewer games."""
        i, j = self.index(player_a), self.index(player_b)
        cov_PP = self.covariance_PP
        variance = float(cov_PP[i, i] + cov_PP[j, j] - 2 * cov_PP[i, j])
        n = int(min(self.games_P[i], self.games_P[j]))
        return self._normal(float(self.rating_P[i] - self.rating_P[j]), variance, n, confidence)

    def index(self, player: str) -> int:
        """Place of the player in every array; BadInput lists the known players."""
        if player not in self.players:
            raise BadInput(f"unknown player {player!r}; rated are: {', '.join(self.players)}")
        return self.players.index(player)

    def _normal(self, value: float, variance: float, n: int, confidence: float) -> Interval:
        half = _normal_z(confidence) * math.sqrt(max(variance, 0.0))
        return Interval(value, value - half, value + half, n, self.method)


def bradley_terry(table: Sequence[Score], *, prior_draws: float = 0.0) -> Ratings:
    """Ratings in natural-log odds with mean zero: P(a beats b) = 1 / (1 + exp(rating_b - rating_a)).

    Bradley & Terry 1952, a draw as half a win, by maximum likelihood; intervals from the inverse Fisher information.
    `prior_draws` adds that many draws of each player against an imaginary player rated 0. Without it the maximum exists
    only if, however the players are split in two groups, each group has scored against the other (Ford 1957): where
    that fails, BadInput names the players. With it everyone is rated, pulled towards the mean.
    """
    if not 0 <= prior_draws < math.inf:
        raise BadInput(f"prior_draws must be a number >= 0, got {prior_draws}")
    players, score_PP = _score_matrix(table)
    if prior_draws == 0:
        _check_comparable(players, score_PP)
    theta_P, covariance_PP = _maximum_likelihood(score_PP, prior_draws)
    ratings = Ratings(
        players=players,
        rating_P=theta_P,
        covariance_PP=covariance_PP,
        games_P=np.rint((score_PP + score_PP.T).sum(axis=1)).astype(np.int64),
        method="Bradley-Terry, Fisher information" + (f", prior of {prior_draws:g} draws" if prior_draws else ""),
    )
    return _rescale(ratings, np.full(len(players), 1 / len(players)), scale=1.0, centre=0.0, method=ratings.method)


def elo(
    table: Sequence[Score], *, anchor: str | None = None, centre: float = ELO_CENTRE, prior_draws: float = 0.0
) -> Ratings:
    """Elo ratings: Bradley-Terry in units of 400/ln 10, so 400 points are odds of 10 to 1 (Elo 1978).

    Fitted to all games at once, hence independent of their order, unlike Elo's running update. `centre` is the mean
    rating, or the rating of `anchor`, whose own interval is then a point. Raises like bradley_terry.
    """
    ratings = bradley_terry(table, prior_draws=prior_draws)
    reference_P = np.full(len(ratings.players), 1 / len(ratings.players))
    if anchor is not None:
        reference_P = np.eye(len(ratings.players))[ratings.index(anchor)]
    zero = f"mean {centre:g}" if anchor is None else f"{anchor} = {centre:g}"
    return _rescale(ratings, reference_P, scale=ELO_SCALE, centre=centre, method=f"Elo ({zero}) by {ratings.method}")


def _normal_z(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise BadInput(f"confidence must lie between 0 and 1, got {confidence}")
    return float(ndtri(0.5 + confidence / 2))


def _sample(values: ArrayLike, what: str) -> Float[np.ndarray, "N ..."]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim == 0 or len(sample) < 2 or not np.isfinite(sample).all():
        raise BadInput(
            f"an interval needs at least two finite {what}, got {sample.size} values, some may not be finite"
        )
    return sample


def _draws(units: int, resamples: int, rng: np.random.Generator) -> Iterator[Int[np.ndarray, "R N"]]:
    """Row numbers of the resamples, in chunks; the chunk size does not change the stream of numbers."""
    rows = max(1, CHUNK // units)
    for start in range(0, resamples, rows):
        yield rng.integers(0, units, size=(min(rows, resamples - start), units))


def _ratio_bootstrap(
    top_C: Float[np.ndarray, " C"],
    bottom_C: Float[np.ndarray, " C"],
    rng: np.random.Generator,
    resamples: int,
    confidence: float,
    method: str,
) -> Interval:
    """BCa interval of Σtop/Σbottom over C independent units; leaving one out has a closed form, so no C² work."""
    drawn = [top_C[index].sum(axis=1) / bottom_C[index].sum(axis=1) for index in _draws(len(top_C), resamples, rng)]
    leave_one_out_C = (top_C.sum() - top_C) / (bottom_C.sum() - bottom_C)
    point = float(top_C.sum() / bottom_C.sum())
    return _bca(point, np.concatenate(drawn), leave_one_out_C, confidence, method)


def _jackknife(values: Shaped[np.ndarray, "N ..."], statistic: Statistic) -> Float[np.ndarray, " N"]:
    """The statistic without each observation in turn."""
    n = len(values)
    others_N = np.arange(n - 1)
    blocks = np.array_split(np.arange(n), math.ceil(n * n / CHUNK))
    # Skipping observation i: positions below i keep their index, the rest move up by one.
    return np.concatenate([statistic(values[others_N + (others_N >= left_out[:, None])]) for left_out in blocks])


def _bca(
    point: float,
    resampled_R: Float[np.ndarray, " R"],
    leave_one_out_N: Float[np.ndarray, " N"],
    confidence: float,
    method: str,
) -> Interval:
    """Efron 1987, eq. 2.3: percentiles shifted by the bias z0 and the acceleration a; widened to hold the point."""
    n, resamples = len(leave_one_out_N), len(resampled_R)
    rank = float((resampled_R < point).sum() + (resampled_R <= point).sum()) / (2 * resamples)
    z0 = float(ndtri(min(max(rank, 1 / (2 * resamples)), 1 - 1 / (2 * resamples))))
    gap_N = leave_one_out_N.mean() - leave_one_out_N
    spread = float((gap_N**2).sum())
    a = float((gap_N**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    tails_2 = z0 + _normal_z(confidence) * np.array([-1.0, 1.0])
    low, high = np.quantile(resampled_R, ndtr(z0 + tails_2 / (1 - a * tails_2)))
    return Interval(point, min(float(low), point), max(float(high), point), n, method)


def _score_matrix(table: Sequence[Score]) -> tuple[tuple[str, ...], Float[np.ndarray, "P P"]]:
    """Players sorted by name, and how much the row's player scored against the column's."""
    for row, game in enumerate(table):
        if game.player_a == game.player_b or min(game.wins_a, game.wins_b, game.draws) < 0:
            raise BadInput(f"ratings: row {row} {tuple(game)} needs two players and counts >= 0")
    players = tuple(sorted({player for game in table for player in (game.player_a, game.player_b)}))
    if not players:
        raise BadInput("ratings need at least one game")
    place = {player: i for i, player in enumerate(players)}
    score_PP = np.zeros((len(players), len(players)))
    for game in table:
        i, j = place[game.player_a], place[game.player_b]
        score_PP[i, j] += game.wins_a + game.draws / 2
        score_PP[j, i] += game.wins_b + game.draws / 2
    return players, score_PP


def _check_comparable(players: tuple[str, ...], score_PP: Float[np.ndarray, "P P"]) -> None:
    """Ford 1957: the graph "scored against" must be strongly connected, or some rating is infinite or arbitrary."""
    remedy = "play more games or set prior_draws > 0"
    islands, island_P = connected_components(score_PP, directed=False)
    if islands > 1:
        groups = [", ".join(p for p, of in zip(players, island_P, strict=True) if of == i) for i in range(islands)]
        raise BadInput(f"ratings: no games link these groups: {' | '.join(groups)}; {remedy}")
    strata, stratum_P = connected_components(score_PP, directed=True, connection="strong")
    for i in range(strata):
        inside_P = stratum_P == i
        if not score_PP[np.ix_(~inside_P, inside_P)].any():
            group = ", ".join(p for p, inside in zip(players, inside_P, strict=True) if inside)
            if strata > 1:
                raise BadInput(f"ratings: nobody else ever scored against {group}, so no finite rating fits; {remedy}")


def _maximum_likelihood(
    score_PP: Float[np.ndarray, "P P"], prior_draws: float
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, "P P"]]:
    """Damped Newton on the concave log-likelihood; the strengths and the inverse information at the maximum."""
    games_PP = score_PP + score_PP.T
    # Without a prior only gaps count; this term fixes the mean and is projected away by _rescale.
    pin_PP = np.full_like(score_PP, 0.0 if prior_draws else 1 / len(score_PP))
    theta_P = np.zeros(len(score_PP))
    for _ in range(100):
        expected_PP = expit(theta_P[:, None] - theta_P)
        alone_P = expit(theta_P)
        gradient_P = (score_PP - games_PP * expected_PP).sum(axis=1) + prior_draws * (0.5 - alone_P)
        weight_PP = games_PP * expected_PP * (1 - expected_PP)
        diagonal_P = weight_PP.sum(axis=1) + prior_draws * alone_P * (1 - alone_P)
        information_PP = np.diag(diagonal_P) - weight_PP + pin_PP
        if np.abs(gradient_P).max() <= 1e-9 * max(1.0, games_PP.sum(axis=1).max()):
            return theta_P, np.linalg.inv(information_PP)
        step_P = np.linalg.solve(information_PP, gradient_P)
        # A step of at most 1 (odds of e) cannot leap out of the region where the quadratic model holds.
        theta_P = theta_P + step_P / max(1.0, float(np.abs(step_P).max()))
    raise FailedWork(
        "ratings did not converge in 100 Newton steps; the games are almost separable, set prior_draws > 0"
    )


def _rescale(
    ratings: Ratings, reference_P: Float[np.ndarray, " P"], *, scale: float, centre: float, method: str
) -> Ratings:
    """The same ratings measured from the weighted mean `reference_P` of the players, which gets the rating `centre`."""
    shift_PP = scale * (np.eye(len(reference_P)) - reference_P)
    return replace(
        ratings,
        rating_P=shift_PP @ ratings.rating_P + centre,
        covariance_PP=shift_PP @ ratings.covariance_PP @ shift_PP.T,
        method=method,
    )


def ece(
    confidence_N: ArrayLike,
    right_N: ArrayLike,
    rng: np.random.Generator,
    *,
    bins: int = 15,
    binning: Literal["count", "width"] = "count",
    cluster_N: ArrayLike | None = None,
    resamples: int = RESAMPLES,
) -> Interval:
    """Expected calibration error, 0 to 1: how far stated confidence and the share right lie apart, on average over bins.

    Σ_b n_b/N |share right in b - mean confidence in b| = Σ_b |Σ_(n in b) (right - confidence)| / N: Naeini et al. 2015.
    Bins of equal count, equal confidences together (default: a pair's confidence starts at ½, so half of the bins of equal
    width, Guo et al. 2017, would be empty). `right_N` is 0 to 1. Basic bootstrap (Davison & Hinkley 1997, 5.2) with the bins
    held fixed, of clusters where `cluster_N` labels them; cut at 0. Noise only adds, so a calibrated model reads above 0 and
    its interval often misses 0: whether there is miscalibration is told by `ece_floor`, how much by the interval. Raises
    BadInput for values outside 0 to 1 or below two units.
    """
    sure_N, hit_N = _probabilities(confidence_N, right_N)
    unit_N = np.arange(len(sure_N)) if cluster_N is None else np.unique(np.asarray(cluster_N), return_inverse=True)[1]
    if len(unit_N) != len(sure_N) or unit_N.max() == 0:
        raise BadInput("an ECE needs one cluster label for each value, and at least two clusters")
    units, bin_N = int(unit_N.max()) + 1, _bins(sure_N, bins, binning)
    excess_CB = np.bincount(unit_N * bins + bin_N, hit_N - sure_N, units * bins).reshape(units, bins)
    size_C = np.bincount(unit_N, minlength=units).astype(np.float64)
    drawn: list[np.ndarray] = []
    for index in _draws(units, resamples, rng):
        row_R = np.arange(len(index))[:, None] * units
        times_RC = np.bincount((row_R + index).ravel(), minlength=len(index) * units).reshape(len(index), units)
        drawn.append(np.abs(times_RC @ excess_CB).sum(axis=1) / (times_RC @ size_C))
    point = float(np.abs(excess_CB.sum(axis=0)).sum() / len(sure_N))
    high, low = 2 * point - np.quantile(np.concatenate(drawn), [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    method = f"basic {'' if cluster_N is None else 'cluster '}bootstrap, {bins} bins of equal {binning}"
    return Interval(point, min(max(0.0, float(low)), point), max(float(high), point), units, method)


def ece_floor(
    confidence_N: ArrayLike,
    rng: np.random.Generator,
    *,
    bins: int = 15,
    binning: Literal["count", "width"] = "count",
    resamples: int = RESAMPLES,
) -> Interval:
    """The ECE that a perfectly calibrated model of these confidences reads: its median and the range that holds 95% of it.

    Outcomes are drawn as the confidences say (consistency resampling, Bröcker & Smith 2007), values as independent. An
    `ece` above `high` is miscalibration that N can show; one inside is not told from none.
    """
    sure_N, _ = _probabilities(confidence_N, np.zeros(len(np.asarray(confidence_N))))
    member_NB = np.eye(bins)[_bins(sure_N, bins, binning)]
    rows = max(1, CHUNK // len(sure_N))
    drawn = [
        np.abs(((rng.random((min(rows, resamples - start), len(sure_N))) < sure_N) - sure_N) @ member_NB).sum(axis=1)
        for start in range(0, resamples, rows)
    ]
    value_R = np.concatenate(drawn) / len(sure_N)
    # Not the mean: where nearly every confidence is 1, a rare draw carries it above the range.
    low, middle, high = np.quantile(value_R, [(1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2])
    return Interval(float(middle), float(low), float(high), len(sure_N), "consistency resampling")


def brier(
    confidence_N: ArrayLike,
    right_N: ArrayLike,
    rng: np.random.Generator,
    *,
    cluster_N: ArrayLike | None = None,
    resamples: int = RESAMPLES,
) -> Interval:
    """Mean of (confidence - right)², 0 to 1, lower is better (Brier 1950, half his two-class sum); 0.25 is a coin's.

    BCa bootstrap, of clusters where `cluster_N` labels them. Raises BadInput for values outside 0 to 1.
    """
    sure_N, hit_N = _probabilities(confidence_N, right_N)
    square_N = (sure_N - hit_N) ** 2
    if cluster_N is None:
        return bootstrap(square_N, rng, resamples=resamples)
    return cluster_bootstrap(square_N, cluster_N, rng, resamples=resamples)


def best_of_n(score_K: ArrayLike, gold_K: ArrayLike) -> Float[np.ndarray, " K"]:
    """Expected gold value of the top-scored of n replies drawn without replacement from K, for n = 1 to K.

    Over the distinct scores s ascending, F_s replies score at most s:  Σ_s mean gold at s · [C(F_s, n) - C(F_s', n)] / C(K, n)
    with s' the score before s; the bracket is the chance that s is the top, and replies that tie for it share. The unbiased
    estimator of Hilton & Gao 2022 (Measuring Goodhart's law). best_of_n(gold, gold) is the best that any scorer can do. Memory
    grows with K². Raises BadInput for no replies, lengths that differ, or values that are not finite.
    """
    score, gold = np.asarray(score_K, dtype=np.float64), np.asarray(gold_K, dtype=np.float64)
    if score.ndim != 1 or score.shape != gold.shape or not len(score) or not np.isfinite([score, gold]).all():
        raise BadInput(f"best of n needs one finite score and gold value a reply, got {score.shape} and {gold.shape}")
    _, level_K, count_S = np.unique(score, return_inverse=True, return_counts=True)
    mean_S = np.bincount(level_K, weights=gold) / count_S
    at_most_S = np.concatenate([[0], np.cumsum(count_S)])
    drawn_K = np.arange(len(score))
    # C(F, n) / C(K, n) as the product of (F - i) / (K - i) over i < n: no factorial, so nothing overflows.
    within_SK = np.cumprod((at_most_S[:, None] - drawn_K).clip(0) / (len(score) - drawn_K), axis=1)
    return mean_S @ np.diff(within_SK, axis=0)


def _probabilities(
    confidence_N: ArrayLike, right_N: ArrayLike
) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"]]:
    """Both columns, checked."""
    sure_N, hit_N = _sample(confidence_N, "confidences"), _sample(right_N, "outcomes")
    if sure_N.ndim != 1 or sure_N.shape != hit_N.shape:
        raise BadInput(f"each confidence needs one outcome, got {sure_N.shape} and {hit_N.shape}")
    if min(sure_N.min(), hit_N.min()) < 0 or max(sure_N.max(), hit_N.max()) > 1:
        raise BadInput("confidences and outcomes must lie between 0 and 1")
    return sure_N, hit_N


def _bins(confidence_N: Float[np.ndarray, " N"], bins: int, binning: str) -> Int[np.ndarray, " N"]:
    """The bin of each value; equal values share one, so the order of the rows does not matter."""
    if bins < 1:
        raise BadInput(f"a calibration error needs at least one bin, got {bins}")
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    edges = inner if binning == "width" else np.quantile(confidence_N, inner)
    return np.searchsorted(edges, confidence_N, side="right")
