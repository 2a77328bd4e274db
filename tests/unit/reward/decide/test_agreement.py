"""Deciding by P(label right): every threshold, every form of doubt."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import check
from skyloom.reward.decide import agreement
from skyloom.reward.decide.agreement import Config

RIGHT = [0.99, 0.6, 0.5, 0.3, 0.05, None]
shares = st.floats(0, 1)


def decided(config, right=RIGHT, alive=None):
    frame = pl.DataFrame({"agreement.right": pl.Series(right, dtype=pl.Float64)})
    return agreement.decide(frame.with_columns(pl.Series("alive", alive or [True] * len(right))), config)


def test_the_default_drops_what_is_likelier_wrong_and_names_what_was_not_judged():
    out = decided(Config())
    assert out["action"].to_list() == ["keep", "keep", "keep", "drop", "drop", "keep"]
    assert out["reason"].to_list() == [None, None, None, "disagrees", "disagrees", "unjudged"]
    assert out.columns == ["reason", "action"]


def test_flips_come_before_drops_and_unjudged_rows_may_go():
    out = decided(Config(flip_below=0.1, unjudged="drop"))
    assert out["action"].to_list() == ["keep", "keep", "keep", "drop", "flip", "drop"]
    assert out["reason"].to_list() == [None, None, None, "disagrees", "flipped", "unjudged"]


def test_weights_and_soft_labels_speak_of_the_pair_as_it_is_kept():
    weights = decided(Config(drop_below=0, flip_below=0.1, weigh=True))["weight"].to_list()
    assert weights == pytest.approx([0.98, 0.2, 0, 0, 0.9, None])
    labels = decided(Config(drop_below=0, flip_below=0.1, soften=True))["label"].to_list()
    assert labels == pytest.approx([0.99, 0.6, 0.5, 0.3, 0.95, None])
    verdict = check("agreement", decided(Config(drop_below=0, flip_below=0.1, weigh=True)), len(RIGHT))
    assert verdict.weight_N[-1] == 1, "an unjudged row keeps its full weight"


def test_the_dead_are_left_alone():
    out = decided(Config(flip_below=0.1), alive=[False] * len(RIGHT))
    assert out["reason"].null_count() == len(RIGHT)
    assert set(out["action"]) == {"keep"}


@given(
    st.lists(st.none() | shares, min_size=1, max_size=20),
    shares,
    st.floats(0, 0.5),
    st.sampled_from(["", "weigh", "soften"]),
)
def test_any_setting_keeps_the_contract(right, drop_below, flip_below, doubt):
    config = Config(drop_below=drop_below, flip_below=flip_below, weigh=doubt == "weigh", soften=doubt == "soften")
    verdict = check("agreement", decided(config, right), len(right))
    for p, action in zip(right, verdict.action_N.tolist(), strict=True):
        expected = 0 if p is None else 2 if p < flip_below else 1 if p < drop_below else 0
        assert action == expected


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"drop_below": 1.5}, "drop_below is 1.5"),
        ({"flip_below": 0.6}, "flip_below is 0.6"),
        ({"weigh": True, "soften": True}, "set one of them"),
    ],
)
def test_bad_settings_are_one_line(wrong, told):
    with pytest.raises(BadInput, match=told):
        decided(Config(**wrong))
