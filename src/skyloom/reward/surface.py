"""Surface of a response: what can be counted without understanding it; shared by the style columns and the shortcut detector.

Formula  a count is the number of matches of one regular expression; characters are Unicode code points; lines are line breaks + 1
Source   markdown as CommonMark 0.31 writes it (ATX headings, bullet and ordered lists, strong emphasis, fences), tables as GitHub does
Flow     annotate/style.py writes the counts of each side; annotate/shortcuts.py compares the sides by them
Run      python -c "from skyloom.reward.surface import COUNTS; print(COUNTS)"
"""

import polars as pl

COUNTS: dict[str, str] = {
    "words": r"\S+",
    "sentences": r"[.!?]+(?:\s|$)",
    "headers": r"(?m)^ {0,3}#{1,6}[ \t]+\S",
    "bullets": r"(?m)^[ \t]*[-*+•][ \t]+\S",
    "numbered": r"(?m)^[ \t]*\d{1,3}[.)][ \t]+\S",
    "bold": r"\*\*[^*\n]+\*\*",
    "fences": r"(?m)^[ \t]*(?:```|~~~)",
    "tables": r"(?m)^[ \t]*\|.*\|[ \t]*$",
    "links": r"\[[^\]\n]*\]\([^)\s]+\)|https?://\S+",
    "digits": r"\d",
    "capitals": r"\p{Lu}",
    "questions": r"\?",
    "exclamations": "!",
    "foreign": r"[^\x00-\x7F]",
}
"""Feature -> what is counted. `tables` counts rows of tables, `fences` the lines that open or close code, `foreign` characters
outside ASCII."""
MARKDOWN: tuple[str, ...] = ("headers", "bullets", "numbered", "bold", "fences", "tables", "links")
"""The features that are markdown; their sum is the feature `markdown`."""
NAMES: tuple[str, ...] = ("characters", "lines", *COUNTS, "markdown")
"""Every count, in the order of columns."""
FIRST: dict[str, str] = {
    "first_capital": r"^\p{Lu}",
    "first_small": r"^\p{Ll}",
    "first_digit": r"^\d",
    "first_blank": r"^\s",
    "first_mark": r"^[^\w\s]",
}
LAST: dict[str, str] = {
    "last_letter": r"\p{L}\z",
    "last_digit": r"\d\z",
    "last_blank": r"\s\z",
    "last_stop": r"\.\z",
    "last_mark": r"[^\w\s.]\z",
}
"""Class of the first and of the last character: a feature holds or it does not."""


def count(text: pl.Expr, name: str) -> pl.Expr:
    """How often a feature of NAMES stands in the text, int64."""
    match name:
        case "characters":
            return text.str.len_chars().cast(pl.Int64)
        case "lines":
            return text.str.count_matches("\n", literal=True).cast(pl.Int64) + 1
        case "markdown":
            return pl.sum_horizontal(count(text, part) for part in MARKDOWN)
        case _:
            return text.str.count_matches(COUNTS[name]).cast(pl.Int64)


def holds(text: pl.Expr, name: str) -> pl.Expr:
    """Whether the text begins or ends with a character class of FIRST or LAST, 0 or 1."""
    return text.str.contains((FIRST | LAST)[name]).cast(pl.Int64)
