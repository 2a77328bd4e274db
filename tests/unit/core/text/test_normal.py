"""Normal forms: what is folded away, what must stay visible, and where words stand in the original text."""

import pytest

from skyloom.core.text.normal import normal, spans, words


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("Hello,  World!", "hello world"),
        ("costs 1,000,000.50 dollars", "Costs 1000000.50 dollars."),
        ("the cafe\u0301", "The CAFÉ"),
        ("ﬁne Straße", "fine STRASSE"),
        ("zero\u200bwidth so\u00adft", "zerowidth soft"),
        ("don’t", "don't"),
        ("3 × 4 ÷ 2 − 1", "3 * 4 / 2 - 1"),
        ("x² + ½", "x2 + 1/2"),
        ("１２ ａｐｐｌｅｓ", "12 apples"),
        ("well-known", "well known"),
    ],
)
def test_equal_normal_forms(left: str, right: str) -> None:
    assert normal(left) == normal(right)


@pytest.mark.parametrize(
    ("left", "right"),
    [("x + 1", "x - 1"), ("1,2", "12"), ("a < b", "a > b"), ("0.5", "5"), ("10%", "10"), ("a-b", "ab"), ("3-2", "32")],
)
def test_numbers_and_operators_stay_visible(left: str, right: str) -> None:
    assert normal(left) != normal(right)


def test_scripts_without_blanks_are_cut_by_character() -> None:
    assert words("今日は25元") == ["今", "日", "は", "25", "元"]


def test_masking_hides_every_number_and_nothing_else() -> None:
    assert normal("Tom has 3 apples, Ann twenty.", masked=True) == "tom has # apples ann #"
    assert normal("Tom has 1,500.5 apples", masked=True) == normal("Tom has 7 apples", masked=True)
    assert normal("x + 1", masked=True) != normal("x - 1", masked=True)


@pytest.mark.parametrize("text", ["", " \n\t", "!?.,;()[]{}", "\u200b\u00ad"])
def test_texts_without_words(text: str) -> None:
    assert words(text) == []
    assert spans(text) == []


def test_spans_point_into_the_original_text() -> None:
    text = "So  ½ of the cafe\u0301’s 1,000 ﬁgs"
    cut = [text[span.start : span.stop] for span in spans(text)]
    assert cut == ["So", "½", "½", "½", "of", "the", "cafe\u0301’s", "1,000", "ﬁgs"]


def test_lone_surrogates_do_not_raise() -> None:
    assert words("a \ud800 b") == ["a", "b"]
