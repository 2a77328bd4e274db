"""Annotators and deciders beyond their examples: what the contamination check finds and spares, who is the first copy."""

import polars as pl

from skyloom.mathqa.annotate import contamination, duplicates, verify
from skyloom.mathqa.benchmark import Item, index_of
from skyloom.mathqa.decide import contamination as drop_contaminated
from skyloom.mathqa.decide import duplicates as drop_duplicates
from skyloom.mathqa.decide import wrong_answer

TEST_ITEM = "Anna has 6 stamps and gets 9 more. How many stamps does Anna have now?"


def rows(*texts):
    return pl.DataFrame([{"question": q, "response": r, "seed_question": s} for q, r, s in texts])


def test_copies_are_found_in_the_row_and_through_its_seed(tmp_path):
    item = Item(id="world/0", question=TEST_ITEM, answer="15", level=1, subject="Arithmetic")
    index_of([item], 30).save(tmp_path / "index.npz")
    numbers = "Anna has 6 stamps and gets 8 more. How many stamps does Anna have now?"
    other = "Ben swims 8 lengths a day. How many lengths does he swim in a week of training?"
    frame = rows(
        (TEST_ITEM, "6+9=15", TEST_ITEM),
        ("How many stamps are 6 and 9?", "6+9=15", TEST_ITEM),
        (other, "6+8=14", other),
        (f"Please: {TEST_ITEM.upper()}", "6+9=15", "x"),
        (numbers, "6+8=14", numbers),
        (other, f"It is asked: {TEST_ITEM}", other),
    )
    got = contamination.annotate(frame, contamination.Config(index=tmp_path / "index.npz"))
    assert got["contamination.hits"].to_list() == [1, 1, 0, 1, 1, 1]
    assert got["contamination.in_seed"].to_list() == [True, True, False, False, True, False]
    assert got["contamination.item"].to_list() == ["world/0", "world/0", None, *["world/0"] * 3]
    assert got["contamination.layer"].to_list() == ["whole", "whole", None, "whole", "masked", "whole"]
    places = ["question", "seed_question", None, "question", "question", "response"]
    assert got["contamination.place"].to_list() == places
    reasons = drop_contaminated.decide(got, drop_contaminated.Config())
    whole = "contaminated_whole"
    assert reasons.to_list() == [whole, whole, None, whole, "contaminated_masked", whole]
    literal = drop_contaminated.decide(got, drop_contaminated.Config(layers=("ngram", "whole")))
    assert literal.to_list() == [whole, whole, None, whole, None, whole]
    assert got["contamination.evidence"][3].startswith("ANNA HAS 6")
    assert contamination.inputs(contamination.Config(index=tmp_path / "index.npz")) == (tmp_path / "index.npz",)


def test_the_first_copy_that_is_alive_stays():
    frame = pl.DataFrame({"duplicates.key": [1, 1, 1, 2], "alive": [False, True, True, True]})
    assert drop_duplicates.decide(frame, drop_duplicates.Config()).to_list() == [None, None, "duplicate", None]
    assert duplicates.key_of("a b", "c") != duplicates.key_of("a", "b c")


def test_votes_and_agreement():
    frame = pl.DataFrame(
        {"gold": ["1/2", "7"], "answer": ["0.5", "8"], "votes": [["0.5", "1/2", "3"], ["8"]]},
    )
    got = verify.annotate(frame, verify.Config())
    assert got["verify.equal"].to_list() == [True, False]
    assert got["verify.agreement"].to_list() == [2 / 3, 1.0]
    reasons = wrong_answer.decide(got, wrong_answer.Config(min_agreement=0.7))
    assert reasons.to_list() == ["votes_disagree", "wrong_answer"]
