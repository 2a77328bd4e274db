"""Near duplicates: chains, the dead, contradictions, and what stays."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from skyloom.reward.decide import near_duplicates


def ledger(like, contradicts=None, alive=None, row=None):
    count = len(like)
    return pl.DataFrame(
        {
            "row": row or list(range(count)),
            "near.like": pl.Series(like, dtype=pl.Int64),
            "near.contradicts": contradicts or [False] * count,
            "alive": alive or [True] * count,
        }
    )


def decide(frame, **config):
    return near_duplicates.decide(frame, near_duplicates.Config(**config)).to_list()


def test_the_end_of_a_chain_stays():
    assert decide(ledger([None, 0, 1, 0])) == [None, "near_duplicate", None, "near_duplicate"]


def test_a_dead_row_does_not_take_its_like_along():
    assert decide(ledger([None, 0, 1], alive=[False, True, True])) == [None, None, "near_duplicate"]


def test_rows_are_named_by_key_and_may_be_absent():
    assert decide(ledger([None, 17, 17, 42], row=[17, 900, 901, 950])) == [None, *["near_duplicate"] * 2, None]


def test_contradictions_go_together_or_the_first_stays():
    frame = ledger([None, 0, 1], contradicts=[True, True, False])
    assert decide(frame) == ["near_contradicting_labels"] * 2 + [None]
    assert decide(frame, drop_contradictions=False) == [None, "near_duplicate", None]


def test_rows_without_an_annotation_stay():
    frame = ledger([None, None]).with_columns(pl.lit(None, pl.Boolean).alias("near.contradicts"))
    assert decide(frame) == [None, None]
    assert decide(frame[:0]) == []


@given(st.data())
def test_a_row_is_dropped_exactly_when_it_resembles_a_kept_one(data):
    count = data.draw(st.integers(1, 20))
    like = [data.draw(st.none() | st.integers(0, k - 1)) if k else None for k in range(count)]
    alive = [data.draw(st.booleans()) for _ in range(count)]
    reasons = decide(ledger(like, alive=alive))
    for k in range(count):
        near = alive[k] and like[k] is not None and alive[like[k]] and reasons[like[k]] is None
        assert (reasons[k] == "near_duplicate") == near
