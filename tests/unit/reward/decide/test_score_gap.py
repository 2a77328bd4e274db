"""The score gap: ties go, larger minima drop more, rows without scores as asked."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.reward.decide import score_gap

GAPS = st.lists(st.tuples(st.none() | st.integers(-4, 4).map(float), st.booleans()), min_size=1, max_size=30)


def ledger(rows):
    gaps = pl.Series("scores.gap", [gap for gap, _ in rows], dtype=pl.Float64)
    return pl.DataFrame([gaps]).with_columns(alive=pl.Series([alive for _, alive in rows], dtype=pl.Boolean))


@given(GAPS, st.floats(0, 5), st.sampled_from(["keep", "drop"]))
def test_a_living_row_stays_exactly_where_its_gap_exceeds_the_minimum(rows, minimum, unscored):
    found = score_gap.decide(ledger(rows), score_gap.Config(minimum=minimum, unscored=unscored)).to_list()
    for (gap, alive), reason in zip(rows, found, strict=True):
        if not alive or (gap is None and unscored == "keep") or (gap is not None and gap > minimum):
            assert reason is None
        else:
            assert reason == ("unscored" if gap is None else "no_score_gap")


@given(GAPS, st.floats(0, 5), st.floats(0, 5))
def test_a_larger_minimum_keeps_no_other_row(rows, first, second):
    low, high = (
        score_gap.decide(ledger(rows), score_gap.Config(minimum=minimum)).is_null()
        for minimum in sorted((first, second))
    )
    assert not (high & ~low).any()


@pytest.mark.parametrize("minimum", [-0.1, float("nan"), float("inf")])
def test_a_minimum_that_makes_no_sense_is_refused(minimum):
    with pytest.raises(BadInput, match="score_gap: minimum="):
        score_gap.decide(ledger([(1.0, True)]), score_gap.Config(minimum=minimum))
