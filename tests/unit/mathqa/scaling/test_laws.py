"""Laws: exact on noiseless curves, bounded, inverted by themselves, and told apart by AICc where there is enough to tell."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.rng import stream
from skyloom.mathqa.scaling import planted
from skyloom.mathqa.scaling.laws import BROKEN, LAWS, LOG_LINEAR, SATURATING, aicc, choose, fit, offered

X = np.log2([500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000])
ONES = np.ones(len(X))


def fitted(law, curve, x=X, ceiling=1.0):
    return fit(law, x, np.ones(len(x)), np.array([[curve(each) for each in x]]), ceiling)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_a_noiseless_curve_is_found_with_its_slope_its_future_and_its_inverse(law):
    curve = planted.CURVES[law.name]
    found = fitted(law, curve)
    for x in (X[0], X[3], X[-1], X[-1] + 2):
        assert found.predict(np.array([x]))[0, 0] == pytest.approx(curve(x), abs=2e-3)
        assert float(found.rows_to(found.predict(np.array([x]))[0, 0])[0]) == pytest.approx(x, abs=1e-6)
    assert found.slope(X[-1])[0] == pytest.approx((curve(X[-1]) - curve(X[-1] - 1e-6)) / 1e-6, abs=2e-3)


def test_parameters_have_the_meaning_of_the_formula():
    line = fitted(LOG_LINEAR, planted.log_linear).one()
    assert line == pytest.approx({"a": 0.2 - 0.07 * math.log2(500), "b": 0.07})
    curve = fitted(SATURATING, planted.saturating).one()
    assert curve["E"] == pytest.approx(0.7, abs=1e-3)
    assert curve["E"] - curve["B"] * 500 ** -curve["alpha"] == pytest.approx(0.2, abs=1e-3)
    bend = fitted(BROKEN, planted.broken).one()
    assert (bend["b"], bend["c"], bend["N*"]) == pytest.approx((0.12, 0.02, 3_000), rel=0.02)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=7, max_size=7), st.floats(0.01, 100))
def test_a_saturating_law_never_passes_its_ceiling_never_falls_and_weights_only_count_by_ratio(values, scale):
    y_RC = np.array([values])
    found = fit(SATURATING, X, ONES, y_RC, 1.0)
    curve = found.predict(np.linspace(X[0], X[-1] + 20, 50))[0]
    assert curve.max() <= 1 + 1e-9
    assert (np.diff(curve) >= -1e-9).all()
    assert fit(SATURATING, X, scale * ONES, y_RC, 1.0).predict(X) == pytest.approx(found.predict(X), abs=1e-6)
    line = fit(LOG_LINEAR, X, ONES, y_RC)
    assert float(fit(BROKEN, X, ONES, y_RC).sse_R[0]) <= float(line.sse_R[0]) + 1e-9
    b, a = np.polyfit(X, values, 1)
    assert line.one() == pytest.approx({"a": a, "b": b}, abs=1e-8)


def test_what_a_law_never_reaches_takes_infinitely_many_rows():
    assert math.isinf(fitted(SATURATING, planted.saturating).rows_to(0.75)[0])
    assert math.isinf(fitted(LOG_LINEAR, lambda _x: 0.4).rows_to(0.5)[0])
    bend = fitted(BROKEN, lambda x: 0.1 + 0.05 * min(x - X[0], 3.0))
    assert bend.rows_to(0.3)[0] > 1e6  # in log2 rows: flat but for rounding
    assert float(bend.rows_to(0.2)[0]) == pytest.approx(X[0] + 2, abs=1e-3)


def test_aicc_counts_the_noise_and_is_not_asked_where_it_is_not_defined():
    assert [law.k for law in LAWS] == [3, 4, 5]
    n, sse = 9, 0.25
    plain = n * math.log(sse / n) + 2 * 4
    assert aicc(np.array([sse]), n, 4)[0] == pytest.approx(plain + 2 * 4 * 5 / (n - 4 - 1))
    few, why = offered(X[:3])
    assert few == (LOG_LINEAR,)
    assert why == {"saturating": "needs 4 sizes, there are 3", "broken": "needs 5 sizes, there are 3"}
    assert offered(X[:6])[1] == {"broken": "AICc needs 7 points for its 5 parameters, there are 6"}
    assert offered(np.repeat(X[:5], 3)) == (LAWS, {})


@pytest.mark.parametrize("name", list(planted.CURVES))
def test_aicc_picks_the_planted_law_where_there_is_enough_to_tell(name):
    plan = planted.Plan(seeds=12, items=4_000, spread=0.01)
    right = 0
    for k in range(10):
        points = planted.grid(planted.CURVES[name], plan, stream(k, "aicc", name))
        fits = [fit(law, points.x_C, np.ones(len(points.x_C)), points.rising_C[None], 1.0) for law in LAWS]
        right += LAWS[int(choose(fits, len(points.x_C))[0])].name == name
    assert right >= 8
