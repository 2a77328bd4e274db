"""The fast path to a solution's mark: never another answer than the plain search for marks gives."""

from hypothesis import given
from hypothesis import strategies as st

from skyloom.mathqa.verify import extraction

PARTS = st.sampled_from(
    ["The answer is ", "the final ANSWER is: ", "anſwer is: ", "A: ", "**A**: ", "a :", "#### ", "#####", "réponse : ", "RÉPONSE est ",
     "答案：", "correct option is ", "\n", " ", "7", "x+1", "so ", ": ", "is", "ratio 1:2", "B"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=12), st.integers(0, 40))
def test_what_the_fast_search_skips_holds_no_mark(parts, start):
    text = "".join(parts)
    start = min(start, len(text))
    plain = [mark.span() for mark in extraction.MARKER.finditer(text, start)]
    folded = text[start:].casefold()
    if not any(word in folded for word in extraction.MARK_WORDS):
        assert plain == [mark.span() for mark in extraction.LABEL.finditer(text, start)]
        assert not plain or ":" in folded
