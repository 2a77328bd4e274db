"""The page of a benchmark: baselines, length matching, calibration, best of n, touched items, provenance, and two models compared."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.core.stats import mcnemar
from skyloom.reward.evals import _report, pairs, reward_bench_2, rm_bench, rmb
from skyloom.reward.evals import _scoring as scoring
from skyloom.reward.evals._items import Item
from skyloom.reward.world import benchmarks

RIGHT, WRONG, TIE = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0.5, 0.5])


def item(k, chosen="good", rejected="bad", subset="s", **more):
    prompt = (Message(role="user", content=f"{subset} {k}"),)
    return Item(name=f"{subset}:{k}", subset=subset, prompt=prompt, responses=(chosen, rejected), **more)


def of_lengths(*lengths):
    return [item(k, "c" * better, "r" * worse) for k, (better, worse) in enumerate(lengths)]


def logistic(seed, count, scale):
    """Pairs whose sides are right with the probability that their gap over `scale` states."""
    rng = stream(seed, "logistic")
    gap = rng.normal(0, 2, count)
    right = rng.random(count) < 1 / (1 + np.exp(-np.abs(gap)))
    signed = np.where(right, np.abs(gap), -np.abs(gap)) * scale
    return [item(k) for k in range(count)], [np.array([each, 0.0]) for each in signed]


def named(evaluation):
    return {each.name: each for each in evaluation.others}


def table(found, title):
    return next(each for each in found.tables if each.title == title)


def test_a_report_holds_the_rule_the_nulls_and_the_counts():
    items = [*of_lengths((9, 3), (3, 9), (9, 3), (5, 5)), item(0, "x", "yy", subset="t")]
    scores = [RIGHT, WRONG, TIE, np.array([np.nan, 1.0]), RIGHT]
    found = _report.report(pairs, items, scores, stream(0, "r"))
    assert found.evaluation.headline.interval == pairs.measure(items, scores, stream(0, "r")).headline.interval
    assert found.evaluation.headline.value == pytest.approx(0.4)
    baselines = {each.name: each.value for each in found.evaluation.baselines}
    assert baselines == {
        "longest": 0.4, "shortest": 0.4, "most markdown": 0.0, "constant": 0.0, "random": baselines["random"],
    }  # fmt: skip
    assert named(found.evaluation)["items not scored whole"].value == pytest.approx(0.2)
    assert named(found.evaluation)["comparisons tied"].value == pytest.approx(0.2)
    counts = dict(table(found, "What was scored").rows)
    assert counts["comparisons without a score"] == 1
    assert counts["comparisons"] == 5
    by_subset = table(found, "By subset")
    assert by_subset.columns == ("subset", "model", *scoring.NULLS)
    assert [row[0] for row in by_subset.rows] == ["all pairs", "s", "t"]
    assert not [each for each in found.tables if each.title == "Clean and touched items"]
    assert found.evaluation.headline.name == "accuracy, all pairs"


def test_the_same_draws_give_the_same_report():
    items, scores = logistic(0, 60, 1.0)
    first, second = (_report.report(pairs, items, scores, stream(5, "r"), touched=["s:1"]) for _ in range(2))
    assert first == second


def test_length_alone_gets_one_half_however_the_lengths_are_spread():
    rng = stream(0, "lengths")
    lengths = [(int(a), int(b)) for a, b in rng.integers(1, 400, size=(300, 2)) if a != b]
    lengths += [(500 + k, 10) for k in range(150)]  # the right one is mostly the longer one
    items = of_lengths(*lengths)
    for null, plain in (("longest", 0.6), ("shortest", 0.0)):
        compared = _report.compared(items, scoring.null_scores(items, scoring.NULLS[null]))
        assert compared.right_P.mean() > plain
        assert _report.length_matched(items, compared, stream(0, "m")).value == pytest.approx(0.5)


def test_length_matching_by_hand():
    """One class; right where longer 3 of 4 times, where shorter 1 of 2: (3/4 + 1/2) / 2, beside one pair of equal lengths, right."""
    items = of_lengths((9, 4), (9, 4), (9, 4), (9, 4), (4, 9), (4, 9), (7, 7))
    scores = [RIGHT, RIGHT, RIGHT, WRONG, RIGHT, WRONG, RIGHT]
    found = _report.length_matched(items, _report.compared(items, scores), stream(0, "m"))
    assert found.value == pytest.approx((6 * (3 / 4 + 1 / 2) / 2 + 1) / 7)
    assert found.n == 7
    assert found.low <= found.value <= found.high


def test_a_class_with_one_direction_is_left_out_and_none_at_all_gives_nothing():
    one_way = of_lengths((9, 4), (9, 4), (9, 4))
    assert _report.length_matched(one_way, _report.compared(one_way, [RIGHT] * 3), stream(0, "m")) is None
    found = _report.report(pairs, one_way, [RIGHT] * 3, stream(0, "r"))
    assert table(found, "Length").rows[0] == ("model", 1.0, 1.0, None, None)
    assert "length-matched accuracy" not in named(found.evaluation)


@pytest.mark.parametrize(("scale", "temperature", "calibrated"), [(1, 1, True), (4, 1, False), (4, 4, True)])
def test_calibration_is_read_at_the_temperature(scale, temperature, calibrated):
    items, scores = logistic(1, 3000, scale)
    found = _report.report(pairs, items, scores, stream(0, "c"), temperature=temperature)
    others = named(found.evaluation)
    assert (others["ECE"].value <= others["ECE if calibrated"].high) == calibrated
    plot = next(each for each in found.plots if each.title == "Confidence against accuracy")
    assert plot.x == f"sigmoid(|gap| / {temperature})"
    gaps = np.abs(np.array(plot.series[0].y) - np.array(plot.series[0].x))
    assert (gaps.max() < 0.08) == calibrated
    assert others["Brier score"].value < 0.25


def test_a_temperature_must_be_above_zero():
    with pytest.raises(BadInput, match="temperature 0; it must be above 0"):
        _report.report(pairs, [item(0)], [RIGHT], stream(0, "c"), temperature=0)


def test_one_item_makes_a_report_without_calibration():
    found = _report.report(pairs, [item(0, "long one", "bad")], [RIGHT], stream(0, "c"))
    assert "ECE" not in named(found.evaluation)
    assert found.plots == ()


def test_best_of_n_against_every_draw():
    responses = ("a", "b", "c", "d")
    items = [
        Item(name=f"{k}", subset="s", prompt=(Message(role="user", content=str(k)),), responses=responses, right=2)
        for k in range(3)
    ]
    scores = [np.array([0.1, 0.9, 0.5, 0.2]), np.array([1.0, 0.0, 1.0, 2.0]), np.array([0.0, np.nan, 0.3, 0.1])]
    (plot,) = _report.best_of(items, scores, stream(0, "b"))
    model, ceiling = plot.series
    assert model.x == pytest.approx([np.log(n) - (n - 1) / n for n in (1, 2, 3, 4)])
    # n = 2 by hand over the six pairs of places; a tie shares, a missing score loses.
    expected = []
    for score in scores:
        filled = np.where(np.isnan(score), -np.inf, score)
        picks = []
        for i, j in product(range(4), range(4)):
            if i < j:
                top = [p for p in (i, j) if filled[p] == max(filled[i], filled[j])]
                picks.append(np.mean([p < 2 for p in top]))
        expected.append(np.mean(picks))
    assert model.y[0] == pytest.approx(0.5)
    assert model.y[1] == pytest.approx(np.mean(expected))
    assert model.y[3] == pytest.approx(1 / 3)
    assert ceiling.y == pytest.approx([1 / 2, 5 / 6, 1, 1])


def test_a_lower_bound_passes_over_the_uncertain_one():
    items = [replace(item(k), responses=("a", "b", "c")) for k in range(4)]
    scores = [np.array([1.0, 1.2, 0.0])] * 4
    std = [np.array([0.0, 1.0, 0.0])] * 4
    (plot,) = _report.best_of(items, scores, stream(0, "b"), std)
    lines = {each.name: each.y for each in plot.series}
    assert lines["model"][-1] == 0
    assert lines["model, score - std"][-1] == 1


def test_touched_items_stand_apart():
    items = [item(k, "long one", "bad") for k in range(10)]
    scores = [RIGHT if k < 6 else WRONG for k in range(10)]
    found = _report.report(pairs, items, scores, stream(0, "t"), touched={"s:0", "s:1", "elsewhere:3"})
    others = named(found.evaluation)
    assert (others["mean credit, touched items"].value, others["mean credit, touched items"].n) == (1.0, 2)
    assert (others["mean credit, clean items"].value, others["mean credit, clean items"].n) == (0.5, 8)
    assert "3 names given, 2 are here" in table(found, "Clean and touched items").note
    clean = _report.report(pairs, items, scores, stream(0, "t"), touched=())
    assert [row[:2] for row in table(clean, "Clean and touched items").rows] == [("clean", 10), ("touched", 0)]


def test_the_page_says_where_it_was_not_run_on_the_real_set(tmp_path):
    path = benchmarks.write(tmp_path, 0.02, only=("rm_bench",))["rm_bench"]
    items = rm_bench.items(rm_bench.Config(path=path))
    assert _report.provenance(rm_bench, items) == "not run on the real set: its items were generated"
    (path.parent / "GENERATED").unlink()
    items = rm_bench.items(rm_bench.Config(path=path))
    told = _report.provenance(rm_bench, items)
    assert told.startswith("not run on the real set: rows differ from the published ones (chat 3 of 129, code ")
    found = _report.report(rm_bench, items, scoring.null_scores(items, scoring.NULLS["longest"]), stream(0, "g"))
    assert found.evaluation.headline.name == "RM-Bench score (not run on the real set)"
    assert told in table(found, "By subset").note
    whole = [item(k, subset=name) for name, n in rm_bench.PUBLISHED.items() for k in range(n)]
    assert _report.provenance(rm_bench, whole) == ""
    part = [each for each in whole if not each.subset.startswith("safety")]
    assert _report.provenance(rm_bench, part) == "part of the real set: without safety-refuse, safety-response"
    assert _report.provenance(rm_bench, part[1:]).startswith("not run on the real set: rows differ")
    assert _report.provenance(rm_bench, [item(0, subset="mine")]).startswith("not run on the real set: rows differ")
    every = [item(k, subset=rmb.PARTS[k % 4]) for k in range(rmb.PUBLISHED[scoring.ALL])]
    assert _report.provenance(rmb, every) == ""
    assert "all items 25,844 of 25,845" in _report.provenance(rmb, every[1:])
    assert _report.provenance(pairs, items[:3]) == ""


def test_two_models_are_compared_by_mcnemar_and_corrected_over_subsets():
    items = [item(k, subset=subset) for subset in ("s", "t") for k in range(20)]
    a = [RIGHT if k < 15 else WRONG for k in range(20)] + [RIGHT] * 20
    b = [RIGHT if k < 5 else WRONG for k in range(20)] + [RIGHT] * 19 + [TIE]
    found = _report.compare(pairs, items, a, b, stream(0, "c"), ("new", "old"))
    rows = {row[0]: dict(zip(found.table.columns, row, strict=True)) for row in found.table.rows}
    assert (rows["s"]["only new"], rows["s"]["only old"], rows["t"]["only new"]) == (10, 0, 1)
    assert rows["s"]["p"] == mcnemar(10, 0).p
    assert rows["all items"]["p"] == mcnemar(11, 0).p
    assert rows["s"]["p, Holm"] == pytest.approx(2 * mcnemar(10, 0).p)
    assert rows["all items"]["p, Holm"] is None
    gap = next(each for each in found.estimates if "mean credit" in each.name)
    assert gap.value == pytest.approx(11 / 40)
    assert 0 < gap.low < gap.value < gap.high
    assert [each.value for each in found.estimates[:2]] == pytest.approx([35 / 40, 24 / 40])


def test_fractional_credits_are_compared_by_sign_flips():
    items = [
        replace(item(k, subset="Math"), responses=("right", "w1", "w2", "w3")) for k in range(40)
    ]  # fmt: skip
    tied, right = np.array([1.0, 1, 0, 0]), np.array([2.0, 1, 0, 0])
    found = _report.compare(reward_bench_2, items, [right] * 40, [tied] * 20 + [right] * 20, stream(0, "c"))
    row = dict(zip(found.table.columns, found.table.rows[0], strict=True))
    assert row["test"] == "sign flips by unit"
    assert row["A - B"].value == pytest.approx(0.25)
    assert row["p"] == pytest.approx(1e-4)


def test_the_sign_flip_test_equals_the_enumeration_and_knows_units():
    rng = stream(0, "flips")
    gaps = np.array([0.5, -0.25, 1.0, 1.0, 0.0, -0.5, 0.75, 0.25])
    nonzero = gaps[gaps != 0]
    sums = [abs(np.dot(signs, nonzero)) for signs in product((-1, 1), repeat=len(nonzero))]
    exact = np.mean([each >= abs(gaps.sum()) - 1e-12 for each in sums])
    assert _report.flip_test(gaps, [str(k) for k in range(8)], rng) == pytest.approx(exact, abs=0.02)
    assert _report.flip_test(np.ones(30), ["one"] * 30, rng) == 1.0
    assert _report.flip_test(np.ones(30), [str(k) for k in range(30)], rng) == 1e-4
    assert _report.flip_test(np.zeros(3), ["a", "b", "c"], rng) == 1.0


@settings(max_examples=20)
@given(st.integers(0, 30))
def test_a_model_is_no_better_than_itself_and_sides_swap(seed):
    rng = stream(seed, "swap")
    items = [item(k // 2, f"good {k}") for k in range(30)]
    a, b = ([rng.integers(0, 3, 2).astype(float) for _ in items] for _ in range(2))
    same = _report.compare(pairs, items, a, a, stream(0, "c")).table.rows[0]
    assert same[8] == 1.0
    one, other = (_report.compare(pairs, items, *sides, stream(0, "c")).table.rows[0] for sides in ((a, b), (b, a)))
    assert one[5:7] == other[5:7][::-1]
    assert one[4].value == pytest.approx(-other[4].value)
