"""Mixes: the shares hold, as many rows as they allow stay, and mixing again changes nothing."""

from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.reward.decide import mix

NAMES = ("a", "b", "c", "d")
ROWS = st.lists(
    st.tuples(st.sampled_from(NAMES), st.none() | st.integers(0, 5).map(float), st.booleans()), min_size=1, max_size=60
)
SHARES = st.dictionaries(st.sampled_from(NAMES[:3]), st.integers(1, 9).map(float), min_size=1)


def ledger(rows):
    group, score, alive = zip(*rows, strict=True)
    columns = {"row": range(len(rows)), "source": group, "scores.category": group, "scores.mean": score, "alive": alive}
    return pl.DataFrame(columns, schema_overrides={"scores.mean": pl.Float64, "row": pl.Int64})


def kept(frame, config):
    return frame["alive"] & mix.decide(frame, config).is_null()


def living(rows):
    return Counter(name for name, _, alive in rows if alive)


@given(ROWS, SHARES, st.sampled_from(["score", "draw"]), st.sampled_from(["source", "category"]))
def test_the_shares_hold_the_total_is_the_largest_and_mixing_again_changes_nothing(rows, shares, pick, by):
    counts = living(rows)
    config = mix.Config(shares=shares, pick=pick, by=by, others="drop")
    frame = ledger(rows)
    if not all(counts[name] for name in shares):
        with pytest.raises(BadInput, match="are left"):
            mix.decide(frame, config)
        return
    stays = kept(frame, config)
    found = Counter(frame["source"].filter(stays).to_list())
    total, whole = sum(found.values()), sum(shares.values())
    assert set(found) <= set(shares)
    assert all(abs(found[name] - share / whole * total) < 1 for name, share in shares.items())
    assert all(found[name] <= counts[name] for name in shares)
    assert total >= min(int(counts[name] * whole / share + 1e-9) for name, share in shares.items())
    assert any(found[name] == counts[name] for name in shares)  # one group is used up, so no larger mix exists
    assert kept(frame.with_columns(alive=stays), config).equals(stays)


@given(ROWS, st.permutations(range(60)), st.integers(0, 3))
def test_a_draw_depends_on_the_row_key_alone(rows, order, seed):
    counts = living(rows)
    shares = dict.fromkeys(counts, 1.0)
    if not shares:
        return
    frame = ledger(rows)
    at = [k for k in order if k < len(rows)]
    config = mix.Config(shares=shares, pick="draw", seed=seed)
    assert kept(frame[at], config).equals(kept(frame, config)[at])


def test_the_best_scores_are_taken_the_unscored_last_the_earlier_of_equals_first():
    frame = ledger(
        [("a", 0.1, True), ("a", None, True), ("a", 0.9, True), ("a", 0.1, True), ("b", None, True), ("b", None, True)]
    )
    assert kept(frame, mix.Config(shares={"a": 1, "b": 1})).to_list() == [True, False, True, False, True, True]
    config = mix.Config(shares={"a": 3, "b": 1}, total=4)
    assert kept(frame, config).to_list() == [True, False, True, True, True, False]


def test_a_draw_is_even_and_follows_its_seed():
    frame = ledger([("a", None, True)] * 4000 + [("b", None, True)] * 1000)
    first, second = (
        kept(frame, mix.Config(shares={"a": 1, "b": 1}, pick="draw", seed=seed)).to_numpy() for seed in (0, 1)
    )
    drawn = first[:4000].reshape(4, 1000).sum(axis=1)
    assert drawn.sum() == 1000
    assert (np.abs(drawn - 250) < 60).all()  # sd 12
    assert 150 < (first & second)[:4000].sum() < 350  # 1000 / 4 by chance


def test_a_new_source_does_not_change_the_draw_of_the_others():
    rows = [("a", None, True)] * 40 + [("b", None, True)] * 10
    small = kept(ledger(rows), mix.Config(shares={"a": 1, "b": 1}, pick="draw"))
    more = ledger([*rows, *[("c", None, True)] * 10])
    assert kept(more, mix.Config(shares={"a": 1, "b": 1, "c": 1}, pick="draw"))[:50].equals(small)


def test_groups_without_a_share_are_refused_dropped_or_kept():
    frame = ledger([("a", None, True), ("b", None, True), ("c", None, False)])
    with pytest.raises(BadInput, match="source 'b' has no share"):
        mix.decide(frame, mix.Config(shares={"a": 1}))
    assert kept(frame, mix.Config(shares={"a": 1}, others="drop")).to_list() == [True, False, False]
    assert kept(frame, mix.Config(shares={"a": 1}, others="keep")).to_list() == [True, True, False]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"shares": {}}, "at least one group"),
        ({"shares": {"a": 0.0}}, "above 0"),
        ({"shares": {"a": float("nan")}}, "above 0"),
        ({"shares": {"a": 1.0, "x": 1.0}}, "no rows of source 'x' are left; left: a, b"),
        ({"shares": {"a": 1.0, "b": 1.0}, "total": -1}, "total=-1"),
        ({"shares": {"a": 1.0, "b": 1.0}, "total": 6}, "the 2 rows of source 'b' allow: 4"),
    ],
)
def test_what_cannot_be_met_is_said(settings, told):
    frame = ledger([("a", None, True)] * 4 + [("b", None, True)] * 2)
    with pytest.raises(BadInput, match=told):
        mix.decide(frame, mix.Config(**settings))


def test_only_needed_columns_are_read():
    assert mix.reads(mix.Config(pick="draw")) == ("row",)
    assert mix.reads(mix.Config(by="category")) == ("row", "scores.category", "scores.mean")
