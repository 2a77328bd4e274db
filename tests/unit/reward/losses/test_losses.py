"""Losses of pairs: values against plain-Python formulas, gradients against finite differences, limits, extremes, settings."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import logsigmoid

from skyloom.core import registry
from skyloom.core.config import override
from skyloom.core.errors import BadInput
from skyloom.core.rng import stream
from skyloom.reward.losses._pairs import PairScores
from skyloom.reward.settings import TrainConfig


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


# Name -> (settings, the loss of one pair as the papers write it); c and r are scores, m is the margin from the score gap.
FORMULAS = {
    "bradley_terry": ({"margin": 0.4}, lambda c, r, m: -math.log(sigmoid(c - r - m - 0.4))),
    "temperature": ({"temperature": 2.5}, lambda c, r, m: -math.log(sigmoid((c - r - m) / 2.5))),
    "focal": ({"gamma": 1.5}, lambda c, r, m: -((1 - sigmoid(c - r - m)) ** 1.5) * math.log(sigmoid(c - r - m))),
    "focal_penalty": (
        {"gamma": 0.5},
        lambda c, r, m: -((1 - 2 * max(sigmoid(c - r - m) - 0.5, 0)) ** 0.5) * math.log(sigmoid(c - r - m)),
    ),
    "hinge": ({"margin": 1.3}, lambda c, r, m: max(0.0, 1.3 + m - (c - r))),
    "tempered_log": ({"t": 0.7}, lambda c, r, m: -(sigmoid(c - r - m) ** 0.3 - 1) / 0.3),
    "margin_mse": ({"margin": 0.9}, lambda c, r, m: (c - (r + 0.9 + m)) ** 2),
    "cross_entropy": ({}, lambda c, r, _: -(math.log(sigmoid(c)) + math.log(1 - sigmoid(r)))),
}
NAMES = sorted(FORMULAS)
PARTS = {"label_smoothing": 0.15, "score_margin": 0.6, "centre": 0.03}
CHOSEN = [1.7, -0.4, 0.25, -2.0, 3.1]
REJECTED = [0.2, 0.9, 0.1, -2.6, -1.4]
WEIGHT = [1.0, 0.3, 2.0, 0.0, 0.7]
LABEL = [1.0, 0.8, 0.5, 0.9, 0.1]
GAP = [0.5, -1.0, 0.0, 2.0, 0.25]


def run(name, pairs, **fields):
    module = registry.load("reward.losses", name)
    return module.loss(pairs, module.Config(**fields))


def shared(name):
    """The settings that every loss has, less the one that a loss refuses."""
    return {key: value for key, value in PARTS.items() if (name, key) != ("cross_entropy", "score_margin")}


def soft():
    """Five pairs with uneven weights, labels and score gaps, in float64."""
    return PairScores(*(torch.tensor(part, dtype=torch.float64) for part in (CHOSEN, REJECTED, WEIGHT, LABEL, GAP)))


def scores(gaps, dtype=torch.float64):
    gap = torch.tensor(gaps, dtype=dtype)
    return PairScores.plain(gap, torch.zeros_like(gap))


def value(name, pairs, **fields):
    return float(run(name, pairs, **fields).loss)


def test_every_loss_of_the_paper_is_there_and_no_other():
    assert set(registry.names("reward.losses")) == set(FORMULAS)


@pytest.mark.parametrize("name", NAMES)
def test_plain_pairs_give_the_mean_of_the_formula(name):
    fields, formula = FORMULAS[name]
    expected = [formula(c, r, 0.0) for c, r in zip(CHOSEN, REJECTED, strict=True)]
    chosen, rejected = (torch.tensor(part, dtype=torch.float64) for part in (CHOSEN, REJECTED))
    out = run(name, PairScores.plain(chosen, rejected), **fields)
    assert float(out.loss) == pytest.approx(sum(expected) / 5, rel=1e-12)
    assert set(out.metrics) == {"win_rate", "gap"}


@pytest.mark.parametrize("name", NAMES)
def test_weights_labels_score_gaps_and_centring_by_hand(name):
    fields, formula = FORMULAS[name]
    parts = shared(name)
    total, centre = 0.0, 0.0
    for c, r, w, label, gap in zip(CHOSEN, REJECTED, WEIGHT, LABEL, GAP, strict=True):
        smooth, m = label * 0.85 + (1 - label) * 0.15, parts.get("score_margin", 0.0) * gap
        total += w * (smooth * formula(c, r, m) + (1 - smooth) * formula(r, c, -m) + 0.03 * (c + r) ** 2)
        centre += w * (c + r) ** 2
    out = run(name, soft(), **fields, **parts)
    assert float(out.loss) == pytest.approx(total / sum(WEIGHT), rel=1e-12)
    assert float(out.metrics["centre"]) == pytest.approx(centre / sum(WEIGHT), rel=1e-12)


@pytest.mark.parametrize("margin", [0.0, 0.7])
def test_bradley_terry_without_weights_and_labels_keeps_every_bit(margin):
    for size in (1, 7, 64, 333):
        rng = stream(size, "bits")
        drawn = torch.tensor(rng.normal(size=(2, size)), dtype=torch.float32)
        old, new = ([side.clone().requires_grad_() for side in drawn] for _ in range(2))
        loss = -logsigmoid(old[0] - old[1] - margin)
        loss.mean().backward()
        out = run("bradley_terry", PairScores.plain(*new), margin=margin)
        out.loss.backward()
        gap = (old[0] - old[1]).detach()
        assert torch.equal(out.loss, loss.mean())
        assert torch.equal(out.metrics["win_rate"], ((gap.sign() + 1) / 2).mean())
        assert torch.equal(out.metrics["gap"], gap.mean())
        assert all(torch.equal(a.grad, b.grad) for a, b in zip(old, new, strict=True))


def test_limits_are_bradley_terry():
    expected = value("bradley_terry", soft(), **PARTS)
    same = {"temperature": {"temperature": 1}, "focal": {"gamma": 0}, "focal_penalty": {"gamma": 0}}
    for name, fields in {**same, "tempered_log": {"t": 1}}.items():
        assert value(name, soft(), **fields, **PARTS) == pytest.approx(expected, rel=1e-12)
    for close in (1e-4, 1e-8, 1e-14):
        assert value("tempered_log", soft(), t=1 - close, **PARTS) == pytest.approx(expected, rel=5 * close + 1e-12)
    assert value("tempered_log", soft(), t=0.9, **PARTS) != pytest.approx(expected, rel=1e-3)


def test_identical_sides():
    level = {"bradley_terry": math.log(2), "focal": math.log(2) / 4, "focal_penalty": math.log(2), "hinge": 1.0}
    level |= {"temperature": math.log(2), "tempered_log": (1 - 0.5**0.2) / 0.2, "margin_mse": 1.0}
    for name, expected in level.items():
        assert value(name, PairScores.plain(*torch.full((2, 3), 5.0))) == pytest.approx(expected, rel=1e-6)
    assert value("cross_entropy", scores([0.0])) == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("with_parts", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_match_finite_differences(name, with_parts):
    pairs, fields = soft(), FORMULAS[name][0] | (shared(name) if with_parts else {})
    rest = pairs[2:] if with_parts else PairScores.plain(*pairs[:2])[2:]

    def of_scores(chosen, rejected):
        return run(name, PairScores(chosen, rejected, *rest), **fields).loss

    assert gradcheck(of_scores, [part.clone().requires_grad_() for part in pairs[:2]])


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("name", ["focal", "focal_penalty"])
def test_focus_has_finite_slopes_at_a_tie_and_at_saturation(name, gamma):
    gap = torch.tensor([0.0, 1e-30, 40.0, 90.0, 200.0, 1e4, -1e4], requires_grad=True)
    run(name, PairScores.plain(gap, torch.zeros_like(gap)), gamma=gamma).loss.backward()
    assert gap.grad.isfinite().all()


@pytest.mark.parametrize("label", [1.0, 0.7])
@pytest.mark.parametrize("name", NAMES)
def test_huge_gaps_are_finite_in_value_and_gradient(name, label):
    chosen, rejected = ([1e4, -1e4, 0.0, 5e3, -5e3], [0.0, 0.0, 1e4, -5e3, 5e3])
    sides = [torch.tensor(side, requires_grad=True) for side in (chosen, rejected)]
    rest = (torch.ones(5), torch.full((5,), label), torch.zeros(5))
    out = run(name, PairScores(*sides, *rest), **FORMULAS[name][0], centre=0.01)
    out.loss.backward()
    assert out.loss.dtype == torch.float32
    assert out.loss.isfinite()
    assert all(side.grad.isfinite().all() for side in sides)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"margin_mse", "hinge"}))
def test_float32_keeps_its_digits_on_pairs_that_are_right(name):
    for gap in (1.0, 12.0, 25.0):
        pair = scores([gap / 2]), scores([gap / 2], torch.float32)
        exact, single = (value(name, PairScores.plain(p.chosen_B, -p.chosen_B)) for p in pair)
        assert single == pytest.approx(exact, rel=1e-5)
        assert single > 0


def test_bfloat16_scores_are_subtracted_in_float32():
    chosen, rejected = (torch.tensor([x], dtype=torch.bfloat16) for x in (256.0, 0.75))
    out = run("bradley_terry", PairScores.plain(chosen, rejected))
    assert out.loss.dtype == torch.float32
    assert float(out.metrics["gap"]) == 255.25  # 256 in bfloat16


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"margin_mse"}))
def test_the_loss_falls_as_the_gap_rises(name):
    gaps = torch.linspace(-20, 12, 65, dtype=torch.float64)
    values = [value(name, PairScores.plain(gap[None] / 2, -gap[None] / 2)) for gap in gaps]
    assert all(later < earlier or (name == "hinge" and later == 0) for earlier, later in itertools.pairwise(values))


def test_margin_mse_and_centring_do_not_fall_for_ever():
    assert value("margin_mse", scores([1.0])) == 0
    assert value("margin_mse", scores([3.0])) == value("margin_mse", scores([-1.0])) == 4
    pulled = [value("bradley_terry", scores([gap]), centre=0.1) for gap in (1.0, 5.0)]
    assert pulled[1] > pulled[0]


@pytest.mark.parametrize(("label", "smoothing"), [(0.9, 0.0), (1.0, 0.2), (0.25, 0.1)])
def test_a_soft_label_is_answered_by_its_log_odds_past_the_margin(label, smoothing):
    p = label * (1 - smoothing) + (1 - label) * smoothing
    gap = torch.tensor([math.log(p / (1 - p)) + 0.5 * 1.4], dtype=torch.float64, requires_grad=True)
    one = torch.ones_like(gap.detach())
    pairs = PairScores(gap, torch.zeros_like(one), one, label * one, 1.4 * one)
    run("bradley_terry", pairs, label_smoothing=smoothing, score_margin=0.5).loss.backward()
    assert float(gap.grad) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_without_weight_there_is_no_loss_and_no_gradient(name):
    for size in (4, 0):
        sides = [torch.linspace(-1e4, 1e4, size).requires_grad_(), torch.ones(size, requires_grad=True)]
        out = run(name, PairScores(*sides, torch.zeros(size), torch.ones(size), torch.ones(size)), centre=0.01)
        out.summed(0).loss.backward()
        assert float(out.loss.detach()) == 0
        assert all(float(metric) == 0 for metric in out.metrics.values())
        assert all(torch.equal(side.grad, torch.zeros(size)) for side in sides)


def test_metrics_are_weighted_detached_and_count_a_tie_as_half():
    out = run("bradley_terry", scores([0.0, 1.0, -1.0, 2.0]))
    assert float(out.metrics["win_rate"]) == pytest.approx(0.625)
    assert float(out.metrics["gap"]) == pytest.approx(0.5)
    pairs = scores([0.0, 1.0, -1.0, 2.0])._replace(weight_B=torch.tensor([2.0, 1.0, 1.0, 0.0]))
    pairs.chosen_B.requires_grad_()
    out = run("bradley_terry", pairs, centre=1.0)
    assert float(out.metrics["win_rate"]) == pytest.approx(0.5)
    assert float(out.metrics["gap"]) == pytest.approx(0)
    assert float(out.metrics["centre"]) == pytest.approx(0.5)
    assert out.loss.requires_grad
    assert not any(metric.requires_grad for metric in out.metrics.values())


BAD = [
    *((name, "label_smoothing", bad) for name in NAMES for bad in (-0.1, 0.5)),
    *((name, "score_margin", -1.0) for name in NAMES),
    *((name, "centre", bad) for name in NAMES for bad in (-0.01, math.inf)),
    ("cross_entropy", "score_margin", 1.0),
    *(("temperature", "temperature", bad) for bad in (0.0, -1.0, math.nan)),
    *((name, "gamma", -0.5) for name in ("focal", "focal_penalty")),
    *(("tempered_log", "t", bad) for bad in (-0.1, 1.1)),
    *((name, "margin", bad) for name in ("hinge", "margin_mse") for bad in (-1.0, 0.0)),
]


@pytest.mark.parametrize(("name", "field", "bad"), BAD)
def test_a_bad_setting_is_refused_by_name(name, field, bad):
    with pytest.raises(ValueError, match=f"^{field}={bad} must be "):
        registry.load("reward.losses", name).Config(**{field: bad})


def test_settings_reach_a_loss_from_the_command_line():
    settings = ["loss=margin_mse", "loss.margin=0", "loss.score_margin=0.5"]
    assert value("margin_mse", scores([1.0])._replace(gap_B=torch.tensor([2.0])), margin=0, score_margin=0.5) == 0
    loss = override(TrainConfig(), settings).loss
    assert loss == registry.load("reward.losses", "margin_mse").Config(margin=0.0, score_margin=0.5)
    with pytest.raises(BadInput, match="label_smoothing=0.5 must be at least 0 and below 0.5"):
        override(TrainConfig(), ["loss=hinge", "loss.label_smoothing=0.5"])


def test_the_configs_need_no_torch():
    code = "import sys; from skyloom.core import registry as r; [r.load('reward.losses', n).Config() for n in r.names('reward.losses')]"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
