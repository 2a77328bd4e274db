"""Top k with learnt offsets; its hand-set ones are tested in test_decide.py."""

import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.ledger.decide import reads_of
from skyloom.reward.decide import top_k
from skyloom.reward.decide.top_k import Config


def ledger(learnt, mean=(0.9, 0.8, 0.7, 0.6)):
    return pl.DataFrame(
        {
            "scores.category": ["chat"] * 4,
            "scores.origin": ["amber", "amber", "birch", "birch"],
            "scores.mean": mean,
            "offsets.learnt": learnt,
            "alive": [True] * 4,
        }
    )


def test_learnt_offsets_change_the_ranking_as_hand_set_ones_do():
    frame = ledger([-0.35, -0.35, 0.0, 0.0])
    by_hand = top_k.decide(frame, Config(share=0.5, offsets={"amber": -0.35})).to_list()
    assert top_k.decide(frame, Config(share=0.5, learnt=True)).to_list() == by_hand
    assert by_hand == ["below_top_k", "below_top_k", None, None]
    assert top_k.decide(frame, Config(share=0.5)).to_list() == [None, None, "below_top_k", "below_top_k"]


def test_hand_set_and_learnt_offsets_add_up():
    frame = ledger([-0.1, -0.1, 0.0, 0.0])
    assert top_k.decide(frame, Config(share=0.5, learnt=True)).to_list() == [None, None, "below_top_k", "below_top_k"]
    both = top_k.decide(frame, Config(share=0.5, learnt=True, offsets={"amber": -0.25})).to_list()
    assert both == ["below_top_k", "below_top_k", None, None]


def test_the_column_is_read_only_where_it_is_asked_for():
    assert reads_of(Config()) == top_k.SCORES
    assert reads_of(Config(learnt=True)) == (*top_k.SCORES, "offsets.learnt")


def test_an_origin_without_an_offset_is_an_error_unless_one_is_given():
    frame = ledger([None, None, 0.0, 0.0])
    with pytest.raises(BadInput, match=r"origin 'amber'.*top_k\.offsets"):
        top_k.decide(frame, Config(learnt=True))
    given = top_k.decide(frame, Config(share=0.5, learnt=True, offsets={"amber": -0.35})).to_list()
    assert given == ["below_top_k", "below_top_k", None, None]
    unscored = ledger([None, None, 0.0, 0.0], mean=(None, None, 0.7, 0.6))
    assert top_k.decide(unscored, Config(share=1, learnt=True)).to_list() == ["unscored", "unscored", None, None]
