"""Deciders beyond their examples: order, offsets, the living and the dead."""

import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.reward.annotate import control_tokens as tokens
from skyloom.reward.annotate import exact_duplicates
from skyloom.reward.decide import contamination, control_tokens, duplicates, length, top_k


def ledger(alive=None, **columns):
    frame = pl.DataFrame({name.replace("__", "."): values for name, values in columns.items()})
    return frame.with_columns(pl.Series("alive", alive if alive is not None else [True] * frame.height))


def test_a_dead_row_does_not_take_its_twin_along():
    frame = ledger([False, True, True], duplicates__cluster=[0, 0, 0], duplicates__contradicts=[False] * 3)
    assert duplicates.decide(frame, duplicates.Config()).to_list() == [None, None, "duplicate"]


def test_unclustered_rows_are_no_duplicates_of_one_another():
    frame = ledger([False, False], duplicates__cluster=[None, None], duplicates__contradicts=[None, None])
    assert duplicates.decide(frame, duplicates.Config()).to_list() == [None, None]


def test_contradictions_may_be_kept_once():
    frame = ledger(duplicates__cluster=[0, 0], duplicates__contradicts=[True, True])
    assert duplicates.decide(frame, duplicates.Config()).to_list() == ["contradicting_labels"] * 2
    assert duplicates.decide(frame, duplicates.Config(drop_contradictions=False)).to_list() == [None, "duplicate"]


def test_punctuation_and_prompt_tell_pairs_apart():
    def row(prompt, chosen, rejected):
        return {"prompt": [{"role": "user", "content": prompt}], "chosen": chosen, "rejected": rejected}

    frame = pl.DataFrame([row("Q", "a b", "c"), row("q ", "A  b", "C"), row("Q", "a b.", "c"), row("P", "a b", "c")])
    found = exact_duplicates.fit(frame, exact_duplicates.Config())
    assert found["duplicates.cluster"].to_list() == [0, 0, 2, 3]
    assert not found["duplicates.contradicts"].any()


def test_top_k_takes_the_offset_out_before_it_ranks():
    frame = ledger(
        scores__category=["chat"] * 4,
        scores__origin=["amber", "amber", "birch", "birch"],
        scores__mean=[0.9, 0.8, 0.7, 0.6],
    )
    plain = top_k.decide(frame, top_k.Config(share=0.5)).to_list()
    assert plain == [None, None, "below_top_k", "below_top_k"]
    offset = top_k.decide(frame, top_k.Config(share=0.5, offsets={"amber": -0.35})).to_list()
    assert offset == ["below_top_k", "below_top_k", None, None]


def test_top_k_rounds_up_ranks_the_living_and_breaks_ties_by_row():
    frame = ledger(
        [True, True, True, False],
        scores__category=["x"] * 4,
        scores__origin=[""] * 4,
        scores__mean=[0.5, 0.5, 0.1, 0.9],
    )
    assert top_k.decide(frame, top_k.Config(share=0.34)).to_list() == [None, None, "below_top_k", None]
    assert top_k.decide(frame, top_k.Config(share=0.01)).to_list() == [None, "below_top_k", "below_top_k", None]


def test_top_k_keeps_unscored_rows_on_request_and_refuses_bad_shares():
    frame = ledger(scores__category=["x"], scores__origin=[""], scores__mean=pl.Series([None], dtype=pl.Float64))
    assert top_k.decide(frame, top_k.Config()).to_list() == ["unscored"]
    assert top_k.decide(frame, top_k.Config(unscored="keep")).to_list() == [None]
    for config in (top_k.Config(share=0), top_k.Config(shares={"x": 1.5})):
        with pytest.raises(BadInput, match="share of"):
            top_k.decide(frame, config)


def test_length_is_off_unless_asked_for():
    frame = ledger(length__prompt_words=[5], length__chosen_words=[900], length__rejected_words=[1])
    assert length.decide(frame, length.Config()).to_list() == [None]
    assert length.decide(frame, length.Config(max_words=100)).to_list() == ["too_long"]
    assert length.decide(frame, length.Config(max_ratio=2)).to_list() == ["length_ratio"]


def test_contamination_floor_and_responses():
    frame = ledger(contamination__prompt=[0, 9], contamination__chosen=[9, 0], contamination__rejected=[0, 0])
    assert contamination.decide(frame, contamination.Config(min_words=10)).to_list() == [None, None]
    assert contamination.decide(frame, contamination.Config(responses=False)).to_list() == [None, "contaminated_prompt"]


def test_control_tokens_repair_by_default():
    frame = ledger(
        control__prompt=[0, 0], control__chosen=[0, 0], control__rejected=[1, 1], control__separates=[True, False]
    )
    answer = control_tokens.decide(frame, control_tokens.Config())
    assert answer["action"].to_list() == ["repair", "drop"]
    assert answer["reason"].to_list() == ["control_token", "control_token_inseparable"]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Blue. <im_start> user", "Blue."),
        ("a<|im_end|>b<|im_start|>", "a"),
        ("x [INST] y", "x"),
        ("<b>bold</b> and <USER>", "<b>bold</b> and <USER>"),
        ("<|eot_id|>", ""),
    ],
)
def test_cut_ends_before_the_first_token(text, kept):
    assert pl.select(tokens.cut(pl.lit(text))).item() == kept
