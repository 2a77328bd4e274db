"""P(correct): calibrated where truth is known, blind to a row's own gold, the same in any order; the decider's floors."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core.rng import stream
from skyloom.core.stats import ece
from skyloom.mathqa.annotate import correct
from skyloom.mathqa.decide import correct as keep


def drawn(rows=3_000, wrong=0.3, seed=0, golds=0.5, backward=(0.75, 0.05), evolved_backward=None):
    """Rows whose witnesses err at known rates, and which of them are right."""
    rng = stream(seed, "test.correct")
    right_N = rng.random(rows) >= wrong
    has_gold = rng.random(rows) < golds
    others = rng.integers(0, 5, rows)
    agree = rng.binomial(others, np.where(right_N, 1 - wrong, 0.05))
    rates = np.where(
        right_N,
        backward[0] if evolved_backward is None else np.where(has_gold, backward[0], evolved_backward),
        backward[1],
    )
    back = rng.random(rows) < rates
    sums = rng.random(rows) < np.where(right_N, 0.98, 0.4)
    asked = rng.random(rows) < 0.8
    frame = pl.DataFrame(
        {
            "seed": [f"s:{k // 6}" for k in range(rows)],
            "operator": np.where(has_gold, "rephrase", "evol"),
            "level": rng.integers(1, 6, rows),
            "response": ["The answer is 4"] * rows,
            "votes": [["4"] * (int(m) + 1) for m in others],
            "verify.equal": pl.Series([bool(r) if g else None for r, g in zip(right_N, has_gold, strict=True)], dtype=pl.Boolean),
            "verify.agreement": (agree + 1) / (others + 1),
            "backward.asked": asked.astype(np.int64),
            "backward.right": (asked & back).astype(np.int64),
            "substitution.holds": pl.Series([None] * rows, dtype=pl.Boolean),
            "arithmetic.checked": np.ones(rows, np.int64),
            "arithmetic.wrong": (~sums).astype(np.int64),
        }
    )  # fmt: skip
    return frame, right_N


def error(p_N, right_N):
    return ece(p_N, right_N, stream(0, "test"), resamples=50).value


@pytest.mark.parametrize("wrong", [0.0, 0.1, 0.4])
def test_p_is_calibrated_with_and_without_a_gold(wrong):
    frame, right_N = drawn(wrong=wrong)
    found = correct.fit(frame, correct.Config())
    new_N = frame["verify.equal"].is_null().to_numpy()
    assert error(found["correct.p"].to_numpy(), right_N) < 0.03
    assert error(found["correct.p"].to_numpy()[new_N], right_N[new_N]) < 0.03
    assert error(found["correct.blind"].to_numpy()[~new_N], right_N[~new_N]) < 0.03


def test_without_any_gold_the_witnesses_still_tell_right_from_wrong():
    frame, right_N = drawn(golds=0.0)
    p_N = correct.fit(frame, correct.Config())["correct.p"].to_numpy()
    assert error(p_N, right_N) < 0.03
    assert p_N[right_N].mean() - p_N[~right_N].mean() > 0.7


def test_with_no_wrong_row_a_layer_that_fails_on_new_questions_condemns_none():
    frame, _ = drawn(wrong=0.0, evolved_backward=0.4)
    p_N = correct.fit(frame, correct.Config())["correct.p"].to_numpy()
    assert p_N.min() > 0.9


def test_a_gold_decides_and_a_silent_row_has_its_base_rate():
    frame, right_N = drawn()
    found = correct.fit(frame, correct.Config())
    known_N = frame["verify.equal"].is_not_null().to_numpy()
    p_N = found["correct.p"].to_numpy()
    assert ((p_N > 0.5) == right_N)[known_N].mean() > 0.99
    mute = correct.fit(frame, correct.Config(layers=("substitution",)))
    assert mute["correct.layers"].unique().to_list() == [""]
    assert mute.height == frame.height


def test_what_a_seeds_own_golds_say_does_not_reach_its_blind_p():
    frame, _ = drawn(rows=900)
    one = pl.col("seed") == "s:7"
    flipped = frame.with_columns(
        pl.when(one).then(~pl.col("verify.equal")).otherwise("verify.equal").alias("verify.equal")
    )
    here = (frame["seed"] == "s:7").to_numpy()
    first, second = (correct.fit(each, correct.Config())["correct.blind"].to_numpy() for each in (frame, flipped))
    np.testing.assert_allclose(first[here], second[here], atol=1e-9)
    assert np.abs(first - second)[~here].max() > 1e-9


def test_the_order_of_the_rows_does_not_matter():
    frame, _ = drawn(rows=600)
    order = stream(1, "order").permutation(frame.height)
    first, second = correct.fit(frame, correct.Config()), correct.fit(frame[order.tolist()], correct.Config())
    np.testing.assert_allclose(first["correct.p"].to_numpy()[order], second["correct.p"].to_numpy(), atol=1e-6)


def test_seeds_without_a_level_are_told_apart_by_lines_of_working():
    frame, _ = drawn(rows=10)
    plain = frame.with_columns(
        level=pl.Series([None] * 10, dtype=pl.Int64), response=pl.Series(["x\n" * k for k in range(10)])
    )
    strata = correct.fit(plain, correct.Config())["correct.stratum"].to_list()
    assert strata == [f"steps {k // 2 + 1}" for k in range(10)]


def test_settings_that_mean_nothing_are_refused():
    for bad, field in (({"folds": 1}, "folds"), ({"layers": ()}, "layers")):
        with pytest.raises(ValueError, match=field):
            correct.Config(**bad)
    for bad, field in (({"min_p": 1.5}, "min_p"), ({"floor": -0.1}, "floor"), ({"share": 0.0}, "share")):
        with pytest.raises(ValueError, match=field):
            keep.Config(**bad)


LEDGER = st.lists(st.tuples(st.integers(1, 5), st.floats(0, 1), st.booleans()), min_size=1, max_size=60)


def ledger_of(rows):
    cells = [(f"level {level}", p if alive else None, alive) for level, p, alive in rows]
    schema = {"correct.stratum": pl.String, "correct.p": pl.Float64, "alive": pl.Boolean}
    return pl.DataFrame(cells, schema=schema, orient="row").with_row_index("row")


def kept_of(ledger, **settings):
    return ledger.with_columns(keep.decide(ledger, keep.Config(**settings)).is_null().alias("kept")).filter("alive")


@given(rows=LEDGER, floor=st.floats(0, 1), bar=st.floats(0, 1))
@settings(max_examples=60)
def test_no_level_loses_more_than_the_floor_lets_it(rows, floor, bar):
    found = kept_of(ledger_of(rows), min_p=bar, floor=floor)
    for _, level in found.group_by("correct.stratum"):
        assert level["kept"].sum() >= floor * level.height - 1e-6
        lost = level.filter(~pl.col("kept"))["correct.p"].max()
        held = level.filter("kept")["correct.p"].min()
        assert lost is None or held is None or lost <= held  # the best stay
        assert level.filter(pl.col("correct.p") >= bar)["kept"].all()


@given(rows=LEDGER, bar=st.floats(0, 1))
@settings(max_examples=60)
def test_without_a_floor_it_is_one_bar(rows, bar):
    found = kept_of(ledger_of(rows), min_p=bar, floor=0.0)
    assert found["kept"].to_list() == (found["correct.p"] >= bar).to_list()


@given(rows=LEDGER, share=st.floats(0.05, 1))
@settings(max_examples=60)
def test_a_share_is_kept_of_every_level(rows, share):
    for _, level in kept_of(ledger_of(rows), share=share).group_by("correct.stratum"):
        assert share * level.height - 1e-6 <= level["kept"].sum() < share * level.height + 1


def test_reasons_name_what_happened():
    ledger = ledger_of([(1, 0.9, True), (1, 0.8, True), (2, 0.1, True), (2, 0.1, False)])
    assert keep.decide(ledger, keep.Config(share=0.5)).to_list() == [None, "outranked", None, None]
    assert keep.decide(ledger, keep.Config(floor=0.0)).to_list() == [None, None, "unlikely", None]


def test_of_rows_as_likely_as_each_other_no_part_of_the_file_is_preferred():
    ledger = ledger_of([(1, 0.9, True)] * 4_000)
    kept = keep.decide(ledger, keep.Config(share=0.5)).is_null()
    assert kept.sum() == 2_000
    assert abs(kept[:2_000].sum() - 1_000) < 100  # four standard deviations: 1_000 ± 4 * 22
    shuffled = ledger.sample(fraction=1.0, shuffle=True, seed=3)
    assert keep.decide(shuffled, keep.Config(share=0.5)).is_null().to_list() == kept.gather(shuffled["row"]).to_list()
