"""Three laws of a measure in the number of rows, fitted to many resamples at once.

Formula  log-linear a + b log2 N; saturating E - B N^-alpha with B >= 0 and E at most the measure's ceiling; broken: a + b log2 N up to
         N*, from there with another slope. Weighted least squares; AICc = n ln(SSE / n) + 2k + 2k(k + 1) / (n - k - 1), k with the
         noise variance: 3, 4 and 5; undefined for n < k + 2, and the law is then not offered
Source   log-linear: Yuan et al. 2023 (arXiv 2308.01825) for fine-tuning data; saturating: Hestness et al. 2017; AICc: Hurvich & Tsai 1989
Method   each law is linear but for one number (alpha, N*), so the whole range of that number is tried and the rest solved exactly (variable
         projection, Golub & Pereyra 1973): no start value, no local optimum, and a thousand resamples in one product of matrices
Flow     scaling/fit.py: points -> [laws] -> slope, predictions, refusals
Limits   A falling measure is fitted as its negative, so that every law rises. Sizes below the second or above the second largest hold no
         break: each side needs two sizes.
Shapes   C cells, R resamples, P linear coefficients, G values of the number tried, M new sizes; x = log2 N
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

TRIED: int = 97
"""Values of the number tried; a step of alpha is 6%, far below its error."""
FINER: int = 33
"""Values tried between the neighbours of the best one, for the points themselves."""
ALPHA: tuple[float, float] = (0.01, 3.0)
"""At 0.01 a saturating law is log-linear for all the eye can see; at 3 everything is over after one doubling."""
LEAST_SSE: float = 1e-18
"""What a perfect fit counts as, so that its logarithm exists."""


class Law(NamedTuple):
    """One law: its columns for a value t of its number, and the values to try."""

    name: str
    formula: str
    linear: int
    """Linear coefficients P."""
    sizes: int
    """Least number of different sizes."""
    columns: Callable[[Array, Array], Array]
    """(C,) x and (R,) t -> (R, C, P)"""
    tried: Callable[[Array, int], Array]
    """(sizes,) distinct x in order, how many -> (G,) values of t"""

    @property
    def k(self) -> int:
        """Parameters with the noise variance."""
        return self.linear + 1 + (self.name != "log-linear")


class Fit(NamedTuple):
    """A law fitted to R resamples."""

    law: Law
    middle: float
    """x is measured from here, so that the coefficients are of like size."""
    ceiling: float
    t_R: Array
    coef_RP: Array
    sse_R: Array

    def predict(self, x_M: Array) -> Array:
        """(R, M) values at x."""
        return np.einsum("rmp,rp->rm", self.law.columns(x_M - self.middle, self.t_R), self.coef_RP)

    def slope(self, x: float) -> Array:
        """(R,) gain of a doubling at x: the derivative in log2 N, to the left of a break that stands at x itself."""
        return slope_of(self, x - self.middle)

    def rows_to(self, value: float) -> Array:
        """(R,) log2 of the rows that reach the value; infinite where the law never does, minus infinite where one row does."""
        return _invert(self, value)

    def one(self) -> dict[str, float]:
        """The first resample's parameters by the names of the formula."""
        return _named(self)


def _ones(x_C: Array, t_R: Array) -> Array:
    return np.broadcast_to(np.ones(()), (len(t_R), len(x_C)))


def _log_linear(x_C: Array, t_R: Array) -> Array:
    return np.stack([_ones(x_C, t_R), np.broadcast_to(x_C, (len(t_R), len(x_C)))], axis=2)


def _saturating(x_C: Array, t_R: Array) -> Array:
    return np.stack([_ones(x_C, t_R), -np.exp2(-t_R[:, None] * x_C)], axis=2)


def _broken(x_C: Array, t_R: Array) -> Array:
    over = np.maximum(x_C - t_R[:, None], 0.0)
    return np.stack([_ones(x_C, t_R), np.broadcast_to(x_C, over.shape), over], axis=2)


def _nothing(_x: Array, _count: int) -> Array:
    return np.zeros(1)


def _alphas(_x: Array, count: int) -> Array:
    return np.geomspace(*ALPHA, count)


def _breaks(x: Array, count: int) -> Array:
    return np.linspace(x[1], x[-2], count)


LOG_LINEAR = Law("log-linear", "a + b log2 N", 2, 2, _log_linear, _nothing)
SATURATING = Law("saturating", "E - B N^-alpha", 2, 4, _saturating, _alphas)
BROKEN = Law("broken", "a + b log2 N, slope c from N*", 3, 5, _broken, _breaks)
LAWS: tuple[Law, ...] = (LOG_LINEAR, SATURATING, BROKEN)


def fit(law: Law, x_C: Array, weight_C: Array, y_RC: Array, ceiling: float = math.inf) -> Fit:
    """The law of least weighted squares for every resample; a single one is searched for more finely."""
    middle = float(np.average(x_C, weights=weight_C))
    u_C = x_C - middle
    t_G = law.tried(np.unique(u_C), TRIED)
    found = Fit(law, middle, ceiling, *_search(law, u_C, weight_C, y_RC, ceiling, t_G))
    if len(y_RC) > 1 or len(t_G) == 1:
        return found
    at = int(np.argmin(np.abs(t_G - found.t_R[0])))
    near_G = np.linspace(t_G[max(at - 1, 0)], t_G[min(at + 1, len(t_G) - 1)], FINER)
    return Fit(law, middle, ceiling, *_search(law, u_C, weight_C, y_RC, ceiling, near_G))


def _search(
    law: Law, u_C: Array, weight_C: Array, y_RC: Array, ceiling: float, t_G: Array
) -> tuple[Array, Array, Array]:
    """t, coefficients and SSE of the best t of each resample."""
    best_R = np.full(len(y_RC), np.inf)
    t_R, coef_RP = np.zeros(len(y_RC)), np.zeros((len(y_RC), law.linear))
    for t in t_G:
        x_CP = law.columns(u_C, np.array([t]))[0]
        found_RP = _solve(x_CP, weight_C, y_RC, law, ceiling)
        sse_R = ((y_RC - found_RP @ x_CP.T) ** 2) @ weight_C
        better_R = sse_R < best_R
        best_R = np.where(better_R, sse_R, best_R)
        t_R = np.where(better_R, t, t_R)
        coef_RP = np.where(better_R[:, None], found_RP, coef_RP)
    return t_R, coef_RP, best_R


def _solve(x_CP: Array, weight_C: Array, y_RC: Array, law: Law, ceiling: float) -> Array:
    """Coefficients at one t: free, or on the bound that they would cross."""
    root_C = np.sqrt(weight_C)
    coef_RP = (y_RC * root_C) @ np.linalg.pinv(x_CP * root_C[:, None]).T
    if law.name != "saturating":
        return coef_RP
    falling_R = coef_RP[:, 1] < 0
    flat_R = np.minimum(y_RC @ weight_C / weight_C.sum(), ceiling)
    coef_RP = np.where(falling_R[:, None], np.stack([flat_R, np.zeros_like(flat_R)], axis=1), coef_RP)
    if math.isfinite(ceiling):
        at_R = at_ceiling(x_CP[:, 1], weight_C, y_RC, ceiling)
        stuck_RP = np.stack([np.full_like(at_R, ceiling), at_R], axis=1)
        coef_RP = np.where((coef_RP[:, 0] > ceiling)[:, None], stuck_RP, coef_RP)
    return coef_RP


def at_ceiling(v_C: Array, weight_C: Array, y_RC: Array, e: float) -> Array:
    """(R,) B >= 0 of the saturating law whose E is held at e; v = -N^-alpha."""
    return np.maximum(((y_RC - e) * weight_C) @ v_C / ((v_C**2) @ weight_C), 0.0)


def slope_of(fitted: Fit, u: float) -> Array:
    """The derivative at u = x - middle."""
    coef_RP, t_R = fitted.coef_RP, fitted.t_R
    match fitted.law.name:
        case "saturating":
            return coef_RP[:, 1] * t_R * math.log(2) * np.exp2(-t_R * u)
        case "broken":
            return coef_RP[:, 1] + np.where(u > t_R, coef_RP[:, 2], 0.0)
        case _:
            return coef_RP[:, 1]


def _invert(fitted: Fit, value: float) -> Array:
    coef_RP, t_R = fitted.coef_RP, fitted.t_R
    with np.errstate(divide="ignore", invalid="ignore"):
        if fitted.law.name == "saturating":
            left_R, b_R = coef_RP[:, 0] - value, coef_RP[:, 1]
            u_R = np.where(b_R > 0, np.log2(b_R / np.maximum(left_R, 0.0)) / t_R, np.inf)
            u_R = np.where((b_R <= 0) & (left_R >= 0), -np.inf, u_R)
        else:
            u_R = _line(value - coef_RP[:, 0], coef_RP[:, 1])
            if fitted.law.name == "broken":
                at_R = coef_RP[:, 0] + coef_RP[:, 1] * t_R
                after_R = t_R + _line(value - at_R, coef_RP[:, 1] + coef_RP[:, 2])
                u_R = np.where(u_R <= t_R, u_R, np.maximum(after_R, t_R))
    return u_R + fitted.middle


def _line(rise_R: Array, slope_R: Array) -> Array:
    """How far a line goes until it has risen so much; infinite where it does not rise."""
    return np.where(slope_R > 0, rise_R / np.where(slope_R > 0, slope_R, 1.0), np.where(rise_R <= 0, -np.inf, np.inf))


def _named(fitted: Fit) -> dict[str, float]:
    (t, *_), (coef_P, *_), middle = fitted.t_R.tolist(), fitted.coef_RP.tolist(), fitted.middle
    match fitted.law.name:
        case "saturating":
            return {"E": coef_P[0], "B": coef_P[1] * 2 ** (t * middle), "alpha": t}
        case "broken":
            a, b, more = coef_P
            return {"a": a - b * middle, "b": b, "c": b + more, "N*": 2 ** (t + middle)}
        case _:
            return {"a": coef_P[0] - coef_P[1] * middle, "b": coef_P[1]}


def aicc(sse_R: Array, n: int, k: int) -> Array:
    """(R,) Akaike's criterion for small samples, up to a constant that laws of the same points share; needs n >= k + 2."""
    return n * np.log(np.maximum(sse_R, LEAST_SSE) / n) + 2 * k + 2 * k * (k + 1) / (n - k - 1)


def offered(x_C: Array) -> tuple[tuple[Law, ...], dict[str, str]]:
    """The laws that these cells can tell apart, and why the others are not offered: law -> reason."""
    sizes, n = len(np.unique(x_C)), len(x_C)
    refused: dict[str, str] = {}
    for law in LAWS:
        if sizes < law.sizes:
            refused[law.name] = f"needs {law.sizes} sizes, there are {sizes}"
        elif law is not LOG_LINEAR and n < law.k + 2:
            refused[law.name] = f"AICc needs {law.k + 2} points for its {law.k} parameters, there are {n}"
    return tuple(law for law in LAWS if law.name not in refused), refused


def choose(fits: Sequence[Fit], n: int) -> NDArray[np.int64]:
    """(R,) place of the law of least AICc in each resample; with n too small for the plainest law, there is one law to choose."""
    if len(fits) == 1:
        return np.zeros(len(fits[0].sse_R), dtype=np.int64)
    return np.argmin(np.stack([aicc(each.sse_R, n, each.law.k) for each in fits]), axis=0).astype(np.int64)
