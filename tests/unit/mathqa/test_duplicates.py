"""Copies of questions: LaTeX style makes none differ, numbers and answers do, and which one stays."""

import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.mathqa.annotate import duplicates, near_duplicates
from skyloom.mathqa.decide import near_duplicates as drop_near

LONG = (
    "A baker makes {} loaves of rye bread each day and sells every loaf for 3 coins at the market. How much money does the baker take "
    "in over a whole week of {} days?"
)


def fitted(*rows, **settings):
    frame = pl.DataFrame([{"row": k, "question": q, "answer": a} for k, (q, a) in enumerate(rows)])
    return near_duplicates.fit(frame, near_duplicates.Config(**settings))


def like(*rows, **settings):
    return fitted(*rows, **settings)["near_duplicates.like"].to_list()


def test_latex_style_makes_no_other_row():
    assert duplicates.key_of(r"Find $\dfrac12$ of 8.", "4") == duplicates.key_of(r"find \(\frac{1}{2}\) of $8$", "4")
    assert duplicates.key_of(r"Find $\frac12$ of 8.", "4") != duplicates.key_of(r"Find $\frac13$ of 8.", "4")


def test_near_questions_need_the_same_numbers_and_an_answer_in_common():
    first = (LONG.format(12, 7), "252")
    nearly = (LONG.format(12, 7).replace("whole", "full"), "252")
    assert like(first, nearly, threshold=0.7) == [None, 0]
    assert like(first, (LONG.format(13, 7), "273"), threshold=0.5) == [None, None], "another number"
    assert like(first, (nearly[0], "250"), threshold=0.5) == [None, None], "another answer"
    assert like(first, (nearly[0], "250"), (nearly[0], "$252$"), threshold=0.7) == [None, 0, 0], (
        "one answer in common is enough"
    )


def test_rows_of_one_question_are_no_near_duplicates_of_one_another():
    got = fitted((LONG.format(12, 7), "252"), (LONG.format("$12$", 7).upper(), "252"))
    assert got["near_duplicates.question"].to_list() == [0, 0]
    assert got["near_duplicates.like"].null_count() == 2


def test_embeddings_find_what_words_in_a_row_do_not():
    moved = (
        "Over a whole week of 7 days, how much money does the baker take in, who makes 12 loaves each day and sells "
        "every loaf for 3 coins?"
    )
    rows = ((LONG.format(12, 7), "252"), (moved, "252"), (moved.replace("12", "11"), "231"))
    assert like(*rows) == [None, None, None]
    got = fitted(*rows, cosine=0.6)
    assert got["near_duplicates.like"].to_list() == [None, 0, None]
    assert got["near_duplicates.layer"].to_list() == [None, "embedding", None]


def test_of_a_group_the_rows_of_the_first_question_stay():
    frame = pl.DataFrame(
        {
            "near_duplicates.question": [4, 5, 4, 5, 6, 7],
            "near_duplicates.like": [None, 4, None, 4, 5, 4],
            "alive": [True, True, True, True, True, False],
        }
    )
    near = "near_duplicate"
    assert drop_near.decide(frame, drop_near.Config()).to_list() == [None, near, None, near, None, None]
    gone = frame.with_columns(pl.Series("alive", [False, True, False, True, True, True]))
    assert drop_near.decide(gone, drop_near.Config()).to_list() == [None, None, None, None, near, None]


def test_copies_among_many_questions_of_one_template_are_found():
    """With other numbers they fill every bucket of the search; each has one copy."""
    rows = [(LONG.format(k, 7), str(21 * k)) for k in range(10, 310)]
    copies = [(text.replace("whole", "full"), answer) for text, answer in rows]
    assert like(*rows, *copies, threshold=0.7) == [None] * 300 + list(range(300))


def test_a_group_is_kept_to_its_first_question_in_row_order_whatever_the_keys():
    """Keys of another source may be smaller; the ledger's order says what came first."""
    frame = pl.DataFrame({"near_duplicates.question": [9, 4, 9], "near_duplicates.like": [None, 9, None]})
    for alive, told in (
        ([True] * 3, [None, "near_duplicate", None]),
        ([False, True, True], [None, "near_duplicate", None]),
    ):
        got = drop_near.decide(frame.with_columns(pl.Series("alive", alive)), drop_near.Config())
        assert got.to_list() == told


def test_no_rows_and_rows_without_words():
    assert fitted(("?", "1"), ("!", "1")).height == 2
    assert like(("?", "1"), ("!", "1"), cosine=0.9) == [None, None]
    empty = pl.DataFrame(schema={"row": pl.Int64, "question": pl.String, "answer": pl.String})
    assert near_duplicates.fit(empty, near_duplicates.Config(cosine=0.9)).height == 0


def test_settings_that_find_everything_are_refused():
    with pytest.raises(BadInput, match="threshold"):
        fitted(("a", "1"), threshold=0.0)
    with pytest.raises(ValueError, match="cosine"):
        near_duplicates.Config(cosine=1.5)
