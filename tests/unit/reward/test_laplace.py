"""Last-layer Laplace against dense formulas and against the sampled posterior of the same head."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save
from scipy.special import expit

from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.reward import laplace
from skyloom.reward.laplace import Laplace


def planted(n: int, width: int, *names: str | int) -> tuple[np.ndarray, np.ndarray]:
    """Difference features and the head that scores them."""
    rng = stream(4, "laplace", n, width, *names)
    return rng.normal(size=(n, width)), rng.normal(size=width)


def dense(d_ND, head_D, temperature, weight_N, prior):
    p_N = expit(d_ND @ head_D / temperature)
    information = sum(
        w * p * (1 - p) * np.outer(d, d) / temperature**2 for w, p, d in zip(weight_N, p_N, d_ND, strict=True)
    )
    return information + prior * np.eye(len(head_D))


@pytest.mark.parametrize(("temperature", "prior"), [(1.0, 2.0), (0.5, 0.01), (3.0, 100.0)])
def test_equals_the_dense_formula(temperature, prior):
    d_ND, head_D = planted(60, 5)
    weight_N = stream(4, "laplace", "weights").uniform(0, 2, 60)
    fitted = laplace.fit([d_ND], head_D, temperature=temperature, weight_N=weight_N, prior=prior)
    hessian = dense(d_ND, head_D, temperature, weight_N, prior)
    np.testing.assert_allclose(fitted.factor_DD @ fitted.factor_DD.T, hessian, rtol=1e-12)
    h_ND, _ = planted(7, 5, "new")
    variance = np.einsum("nd,de,ne->n", h_ND, np.linalg.inv(hessian), h_ND)
    np.testing.assert_allclose(fitted.std(h_ND), np.sqrt(variance), rtol=1e-10)
    np.testing.assert_allclose(fitted.gap_std(h_ND[1:] - h_ND[:1])[0], fitted.std(h_ND[1] - h_ND[0])[0])
    information = hessian - prior * np.eye(5)
    assert fitted.effective == pytest.approx(np.trace(information @ np.linalg.inv(hessian)))
    assert (fitted.n, fitted.width, fitted.prior, fitted.temperature) == (60, 5, prior, temperature)


def test_evidence_chooses_the_prior_that_a_grid_finds():
    d_ND, head_D = planted(80, 6)
    fitted = laplace.fit([d_ND], head_D, temperature=1.5)
    grid = np.exp(np.linspace(-8, 8, 4001))
    information = dense(d_ND, head_D, 1.5, np.ones(80), 0.0)
    evidence = [
        3 * math.log(prior)
        - prior / 2 * head_D @ head_D
        - np.linalg.slogdet(information + prior * np.eye(6)).logabsdet / 2
        for prior in grid
    ]
    assert fitted.prior == pytest.approx(grid[int(np.argmax(evidence))], rel=5e-3)
    assert fitted.effective == pytest.approx(fitted.prior * head_D @ head_D)  # MacKay's fixed point


@pytest.mark.parametrize("width", [1, 2, 3])
def test_agrees_with_the_sampled_posterior(width):
    """Bayesian logistic regression by importance sampling: 50,000 heads from a wide Student t, 4 degrees of freedom."""
    rng = stream(4, "laplace", "posterior", width)
    prior, n = 1.0, 300
    d_ND = rng.normal(size=(n, width))
    d_ND *= np.where(rng.random(n) < expit(d_ND @ rng.normal(size=width)), 1, -1)[:, None]  # each difference won
    head_D = np.zeros(width)
    for _ in range(30):  # Newton to the posterior's mode
        gradient = d_ND.T @ expit(-d_ND @ head_D) - prior * head_D
        head_D = head_D + np.linalg.solve(dense(d_ND, head_D, 1.0, np.ones(n), prior), gradient)
    fitted = laplace.fit([d_ND], head_D, temperature=1.0, prior=prior)
    scatter_SD = rng.normal(size=(50_000, width))
    wide_SD = scatter_SD * np.sqrt(4 / rng.chisquare(4, (50_000, 1)))
    heads_SD = head_D + wide_SD @ np.linalg.inv(fitted.factor_DD)
    log_posterior = np.concatenate(
        [-np.logaddexp(0, -part @ d_ND.T).sum(axis=1) for part in np.array_split(heads_SD, 5)]
    )
    log_posterior -= prior / 2 * (heads_SD**2).sum(axis=1)
    log_proposal = -(4 + width) / 2 * np.log1p((wide_SD**2).sum(axis=1) / 4)
    weight_S = np.exp(log_posterior - log_proposal - (log_posterior - log_proposal).max())
    weight_S /= weight_S.sum()
    assert 1 / (weight_S**2).sum() > 10_000  # the sample is worth that many exact draws
    for x_D in 2 * np.r_[np.eye(width), rng.normal(size=(3, width))]:
        score_S = heads_SD @ x_D
        mean = weight_S @ score_S
        sampled = math.sqrt(weight_S @ (score_S - mean) ** 2)
        std = fitted.gap_std(x_D)
        assert std[0] == pytest.approx(sampled, rel=0.06)
        assert fitted.p_win(head_D @ x_D, std)[0] == pytest.approx(weight_S @ expit(score_S), abs=0.01)


def test_blocks_of_any_length_type_and_orientation_give_one_result(monkeypatch):
    d_ND, head_D = planted(50, 4)
    d_ND = d_ND.astype(np.float32)
    weight_N = stream(4, "laplace", "blocks").uniform(0, 2, 50)
    whole = laplace.fit([d_ND], head_D, temperature=1.0, weight_N=weight_N)
    monkeypatch.setattr(laplace, "BLOCK", 7)
    signs = np.where(np.arange(50) % 2, 1, -1).astype(np.float32)[:, None]
    parts = (part for part in np.split(d_ND * signs, [1, 1, 20]))  # a generator, with an empty block
    streamed = laplace.fit(parts, head_D, temperature=1.0, weight_N=weight_N)
    np.testing.assert_allclose(streamed.factor_DD, whole.factor_DD, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(streamed.std(d_ND), whole.std(d_ND), rtol=1e-12)
    assert streamed.n == whole.n == 50
    assert whole.std(np.zeros((0, 4))).shape == (0,)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.05, 20))
def test_scores_on_another_scale_scale_their_std(seed, factor):
    d_ND, head_D = planted(30, 3, seed)
    one = laplace.fit([d_ND], head_D, temperature=1.0)
    other = laplace.fit([d_ND], factor * head_D, temperature=factor)
    np.testing.assert_allclose(other.std(d_ND), factor * one.std(d_ND), rtol=1e-6)
    assert other.effective == pytest.approx(one.effective, rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 29), st.floats(0.01, 100))
def test_more_pairs_never_make_it_less_sure(seed, first, prior):
    d_ND, head_D = planted(30, 3, seed)
    x_ND, _ = planted(5, 3, seed, "new")
    few = laplace.fit([d_ND[:first]], head_D, temperature=1.0, prior=prior)
    more = laplace.fit([d_ND], head_D, temperature=1.0, prior=prior)
    assert (more.std(x_ND) <= few.std(x_ND) * (1 + 1e-9)).all()
    assert (few.std(x_ND) <= np.linalg.norm(x_ND, axis=1) / math.sqrt(prior) * (1 + 1e-9)).all()
    gap_N = x_ND @ head_D
    averaged = more.p_win(gap_N, more.gap_std(x_ND))
    assert (np.abs(averaged - 0.5) <= np.abs(expit(gap_N) - 0.5) + 1e-12).all()


def test_what_both_sides_share_stays_at_the_prior_and_cancels():
    """The last feature is a constant of every reply, so no pair ever shows it."""
    d_ND, head_D = planted(5000, 4)
    d_ND[:, -1] = 0
    fitted = laplace.fit([d_ND], head_D, temperature=1.0, prior=0.25)
    replies_RD, _ = planted(8, 4, "replies")
    replies_RD[:, -1] = 30.0
    assert (fitted.std(replies_RD) > 59.9).all()  # 30 / sqrt(0.25) = 60 for each, and the same for all
    assert (fitted.gap_std(replies_RD - replies_RD.mean(axis=0)) < 0.3).all()


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_probability_is_the_average_over_an_uncertain_gap(temperature):
    d_ND, head_D = planted(20, 2)
    fitted = laplace.fit([d_ND], head_D, temperature=temperature)
    at_Q, weight_Q = np.polynomial.hermite_e.hermegauss(80)
    for gap in (-3.0, 0.0, 1.0, 4.0):
        for std in (0.0, 1.0, 3.0):
            average = weight_Q @ expit((gap + std * at_Q) / temperature) / weight_Q.sum()
            assert fitted.p_win(gap, std) == pytest.approx(average, abs=0.02)


def test_lower_bounds():
    np.testing.assert_allclose(laplace.lower([1.0, 2.0], [0.5, 2.0], z=2.0), [0.0, -2.0])
    np.testing.assert_allclose(laplace.lower([1.0, 2.0], [0.5, 2.0], z=0.0), [1.0, 2.0])
    assert laplace.lower(1.0, 0.5) == 0.5
    with pytest.raises(BadInput, match="z >= 0"):
        laplace.lower([1.0], [1.0], z=-1.0)


def test_file_round_trip_and_refusals(tmp_path):
    d_ND, head_D = planted(40, 5)
    fitted = laplace.fit([d_ND], head_D, temperature=0.7)
    path = tmp_path / laplace.FILE
    fitted.save(path)
    back = Laplace.load(path, 5)
    np.testing.assert_array_equal(back.factor_DD, fitted.factor_DD)
    for name in ("temperature", "prior", "effective", "n"):
        assert getattr(back, name) == getattr(fitted, name)
    with pytest.raises(BadInput, match="not for a model of width 6"):
        Laplace.load(path, 6)
    packed, numbers = fitted.factor_DD[np.tril_indices(5)], np.array([0.7, 1.0, 2.0, 40])
    for tensors, message in (
        ({"factor": packed}, "numbers"),
        ({"factor": packed, "numbers": numbers[:3]}, "damaged"),
        ({"factor": packed, "numbers": np.array(0.7)}, "damaged"),
        ({"factor": packed.astype(np.float32), "numbers": numbers}, "float32"),
        ({"factor": -packed, "numbers": numbers}, "out of range"),
        ({"factor": packed * np.nan, "numbers": numbers}, "out of range"),
        ({"factor": packed, "numbers": numbers * np.nan}, "out of range"),
    ):
        path.write_bytes(save(tensors))
        with pytest.raises(BadInput, match=rf"laplace\.safetensors.*{message}"):
            Laplace.load(path, 5)
    path.write_bytes(b"not safetensors")
    with pytest.raises(BadInput, match="damaged"):
        Laplace.load(path, 5)
    with pytest.raises(BadInput, match="cannot be read"):
        Laplace.load(tmp_path / "absent", 5)


def test_fit_refuses():
    d_ND, head_D = planted(10, 3)
    holed = d_ND.copy()
    holed[6, 1] = np.inf
    bad_calls = (
        ([d_ND], head_D[:2], {}, r"shape \(10, 3\) do not fit a head of width 2"),
        ([d_ND[0]], head_D, {}, r"shape \(3,\)"),
        ([d_ND, holed], head_D, {}, "row 16: a feature is not finite"),
        ([d_ND], head_D * 0, {}, "trained head"),
        ([d_ND], head_D[None], {}, "trained head"),
        ([d_ND * 0], head_D, {}, "no information"),
        ([], head_D, {}, "no information"),
        ([d_ND], head_D, {"prior": 0.0}, "must be > 0"),
        ([d_ND], head_D, {"temperature": math.nan}, "must be > 0"),
        ([d_ND], head_D, {"weight_N": np.ones(9)}, "9 weights"),
        ([d_ND], head_D, {"weight_N": np.ones(11)}, "11 weights"),
        ([d_ND], head_D, {"weight_N": -np.ones(10)}, "weights must be finite and >= 0"),
        ([d_ND[:1] * 1e6], head_D * 1e-6, {"prior": 1e-30}, "too small for float64"),
    )
    for blocks, head, more, message in bad_calls:
        with pytest.raises(BadInput, match=message):
            laplace.fit(blocks, head, **{"temperature": 1.0, **more})
    with pytest.raises(BadInput, match="do not fit"):
        laplace.fit([d_ND], head_D, temperature=1.0).std(np.ones(4))
