"""Balance: the stated share holds in every group, by dropping the most extreme pairs or by weights."""

from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.reward.decide import balance

ROWS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 12), st.integers(0, 12), st.booleans()), min_size=1, max_size=60
)
SHARE = st.sampled_from([0.5, 0.55, 0.6, 0.75, 0.9])


def ledger(rows):
    group, chosen, rejected, alive = zip(*rows, strict=True)
    sides = {"length.chosen_words": chosen, "length.rejected_words": rejected}
    marks = {"style.markdown_chosen": chosen, "style.markdown_rejected": rejected}
    return pl.DataFrame({"source": group, "scores.category": group, "alive": alive, **sides, **marks})


def differing(rows, stays, group):
    """(longer chosen sides, longer rejected sides) among a group's living, staying rows."""
    signs = [c - r for (g, c, r, alive), keep in zip(rows, stays, strict=True) if alive and keep and g == group]
    return sum(sign > 0 for sign in signs), sum(sign < 0 for sign in signs)


def extent(row):
    return max(Fraction(row[1] + 1, row[2] + 1), Fraction(row[2] + 1, row[1] + 1))


@given(ROWS, SHARE, st.sampled_from(["source", "category"]), st.sampled_from(["length", "markdown"]))
def test_the_share_holds_nothing_else_is_touched_and_again_changes_nothing(rows, share, by, feature):
    frame = ledger(rows)
    config = balance.Config(max_share=share, least=1, by=by, feature=feature)
    answer = balance.decide(frame, config)
    stays = (answer["action"] == "keep").to_list()
    assert set(answer["reason"].drop_nulls()) <= {f"unbalanced_{feature}"}
    assert answer["reason"].is_null().to_list() == stays
    for group in "ab":
        more, less = differing(rows, stays, group)
        before = differing(rows, [True] * len(rows), group)
        assert max(more, less) <= share * (more + less) + 1e-6
        assert min(more, less) == min(before)  # the minority is never touched
        if max(before) > max(more, less):  # one more of the majority would break the share
            assert max(more, less) + 1 > share * (more + less + 1) - 1e-6
        dropped = [extent(row) for row, keep in zip(rows, stays, strict=True) if row[0] == group and not keep]
        sign = 1 if more >= less else -1
        kept = [
            extent(row)
            for row, keep in zip(rows, stays, strict=True)
            if keep and row[0] == group and row[3] and (row[1] - row[2]) * sign > 0
        ]
        if before[0] != before[1] and dropped and kept and (before[0] > before[1]) == (sign > 0):
            assert min(dropped) >= max(kept)
    again = balance.decide(frame.with_columns(alive=frame["alive"] & pl.Series(stays)), config)
    assert (again["action"] == "keep").all()


@given(ROWS, SHARE)
def test_weights_bring_the_share_down_exactly(rows, share):
    answer = balance.decide(ledger(rows), balance.Config(max_share=share, least=1, action="weigh"))
    for group in "ab":
        more = less = 0.0
        for (g, chosen, rejected, alive), weight in zip(rows, answer["weight"], strict=True):
            more += weight * (alive and g == group and chosen > rejected)
            less += weight * (alive and g == group and chosen < rejected)
        before = differing(rows, [True] * len(rows), group)
        assert max(more, less) <= share * (more + less) + 1e-6
        if before and min(before) and max(before) > share * sum(before) + 1e-6:
            assert max(more, less) == pytest.approx(share * (more + less))
    moved = answer["weight"] != 1
    assert answer["reason"].is_not_null().equals(moved)
    assert (answer["action"] == "drop").equals(answer["weight"] == 0)


@given(ROWS, st.permutations(range(60)), SHARE)
def test_the_order_of_rows_does_not_matter_where_no_two_are_equally_extreme(rows, order, share):
    distinct = list({extent(row): row for row in rows}.values())
    at = [k for k in order if k < len(distinct)]
    frame, config = ledger(distinct), balance.Config(max_share=share, least=1)
    assert balance.decide(frame[at], config).equals(balance.decide(frame, config)[at])


def test_equally_extreme_pairs_stay_in_row_order():
    rows = [("a", 7, 3, True), ("a", 3, 1, True), ("a", 1, 0, True), ("a", 1, 2, True)]  # all 2 to 1 after + 1
    answer = balance.decide(ledger(rows), balance.Config(max_share=0.5, least=1))
    assert answer["action"].to_list() == ["keep", "drop", "drop", "keep"]


def test_the_longest_go_first_and_ties_stay():
    rows = [("a", 9, 1, True), ("a", 3, 1, True), ("a", 2, 1, True), ("a", 1, 5, True), ("a", 4, 4, True)]
    answer = balance.decide(ledger(rows), balance.Config(max_share=0.5, least=1))
    assert answer["action"].to_list() == ["drop", "drop", "keep", "keep", "keep"]
    dead = [("a", 2, 1, False), *rows]
    answer = balance.decide(ledger(dead), balance.Config(max_share=0.5, least=1))
    assert answer["action"].to_list() == ["keep", "drop", "drop", "keep", "keep", "keep"]


def test_small_groups_are_left_alone_and_one_sided_ones_lose_all():
    rows = [("a", 9, 1, True)] * 19 + [("b", 9, 1, True)] * 20
    assert balance.decide(ledger(rows), balance.Config())["action"].to_list() == ["keep"] * 19 + ["drop"] * 20


def test_a_share_that_makes_no_sense_is_refused_and_only_needed_columns_are_read():
    for share in (0.4, 1.0):
        with pytest.raises(BadInput, match="max_share"):
            balance.decide(ledger([("a", 1, 2, True)]), balance.Config(max_share=share))
    assert balance.reads(balance.Config(feature="markdown")) == ("style.markdown_chosen", "style.markdown_rejected")
    assert "scores.category" in balance.reads(balance.Config(by="category"))
