"""Where the final answer stands in a solution.

Formula  the last mark wins: "The answer is" (with or without a colon; also "final answer is"), "#### n", a line "Answer: n" or
         "A: n", \\boxed{...} or \\fbox{...} with balanced braces; without any mark the last number, where the policy allows it
Source   the closing forms of Skywork-Math and MetaMath ("The answer is"), GSM8K (####), MATH (boxed), Minerva and DAPO
Flow     under mathqa.verify.grading
Run      find("so 3 + 4 = 7.\\nThe answer is 7.") == Found("7", "marker")
Limits   A solution that marks several answers one after the other is read by its last mark.
"""

import re
from typing import Literal, NamedTuple

Policy = Literal["marked", "last_number"]
MARKER = re.compile(
    r"(?:the\s+)?(?:final\s+)?answer\s+is\s*:\s*|the\s+(?:final\s+)?answer\s+is\s+|final\s+answer\s+is\s+|(?<!#)####(?!#)\s*"
    r"|^[ \t]*[*_]*(?:(?:the\s+)?(?:final\s+)?answer|A)[*_]*\s*:\s*",
    re.IGNORECASE | re.MULTILINE,
)
BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
NUMBER = re.compile(
    r"\\[dt]?frac\{-?\d+\}\{\d+\}|(?<![\w.\\)}])-?(?:\\?\$)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?(?: ?\\?%)?"
    r"|(?<![\w.])-?\.\d+|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?(?: ?\\?%)?"
)
SENTENCE = re.compile(r"\.(?=\s+[A-Z]|\s*$)|\.\**$")
DELIMITED = re.compile(r"\$\$?(.+?)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)
PROSE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}")
JOINT = re.compile(r"\\quad|\\qquad|\\text|\\[()\[\],; ]|[\s$,;{}&]|and|or")  # what may stand between boxes of one row
ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]+\}")
HEADING = re.compile(r"(?:step|part|case|conclusion|solution|method|problem|explanation)\b", re.IGNORECASE)
LONGEST = 200_000  # characters from the end that are looked at
MOST_MARKS = 8  # from the end; floods of open boxes cost no more than this
MOST_PROSE = 7  # words; a bare answer may be a short phrase
SHORT = 2  # words behind a formula that may be its unit


class Found(NamedTuple):
    """An answer and how it was found."""

    answer: str
    by: Literal["box", "marker", "last_number", "bare"]


def find(text: str, policy: Policy = "last_number") -> Found | None:
    """The final answer of a whole solution, as written; None where nothing is found."""
    text = text[-LONGEST:]
    box, box_at = _last_box(text)
    marks = list(MARKER.finditer(text))[-MOST_MARKS:]
    for mark in reversed(marks):
        if mark.start() < box_at:
            break
        rest = text[mark.end() :]
        answer = _behind_hashes(rest) if "#" in mark[0] else _behind(rest, label="is" not in mark[0].lower())
        if answer:
            return Found(answer, "marker")
    if box is not None:
        return Found(box, "box")
    if policy == "last_number":
        numbers = _numbers(text)
        return Found(numbers[-1], "last_number") if numbers else None
    return None


def answer_of(text: str, policy: Policy = "last_number") -> Found | None:
    """The same for a text that may be a bare answer already."""
    found = find(text, "marked")
    if found is not None:
        return found
    bare = text.strip()
    if not bare or _prose(bare) > MOST_PROSE:
        return find(text, policy)
    formulas = list(DELIMITED.finditer(bare))
    if formulas and PROSE.search(bare[: formulas[0].start()]):  # "The solution is $x > 5$"
        return Found(_content(formulas[-1]), "bare")
    sentence = bare[0].isalpha() and _prose(bare) > SHORT and bool(_numbers(bare))  # "She has 5 apples left"
    return find(text, policy) if sentence else Found(bare, "bare")


def last_boxed(text: str) -> str | None:
    """Content of the last box of a LaTeX solution, or of the row of boxes that ends with it; None where no box is whole."""
    return _last_box(text)[0]


def _prose(text: str) -> int:
    """Words of two letters or more that are no LaTeX commands."""
    return len(PROSE.findall(ENVIRONMENT.sub("", text)))


def _content(formula: re.Match[str]) -> str:
    return next(group for group in formula.groups() if group is not None).strip()


def _behind_hashes(rest: str) -> str | None:
    """The number in the line behind ####, or a short word there; a Markdown heading is no answer."""
    line = rest.partition("\n")[0].strip(" *:.")
    numbers = _numbers(line)
    if HEADING.match(line) or (not numbers and _prose(line) > SHORT):
        return None
    exact = _prose(line) == 0  # an expression or a list stands for itself
    return (line if exact else numbers[0] if numbers else line) or None


def _behind(rest: str, *, label: bool) -> str | None:
    """The answer right behind a mark; `label`: the mark may be a heading and what follows a whole solution."""
    text = rest.strip(" \t\r\n*:")
    if label and text.count("\n") and not text.startswith(("$$", "\\[", "\\begin")):
        return None
    display = DELIMITED.match(text)
    line = (text[: display.end()] + text[display.end() :].partition("\n")[0]) if display else text.partition("\n")[0]
    line = SENTENCE.split(line, maxsplit=1)[0].strip(" *")
    box, _ = _last_box(line)
    if box is not None:
        return box
    behind = line[display.end() :] if display else line
    if _prose(behind) <= (SHORT if display else MOST_PROSE):
        return line or None
    if display:
        return _content(display)
    numbers = _numbers(line)
    return numbers[-1] if numbers else line


def _numbers(text: str) -> list[str]:
    return [hit[0].strip() for hit in NUMBER.finditer(text)]


def _last_box(text: str) -> tuple[str | None, int]:
    """Content and place of the last box whose braces balance, or of the row of boxes that ends with it."""
    boxes = [box for hit in list(BOX.finditer(text))[-MOST_MARKS:] if (box := _box(text, hit)) is not None]
    if not boxes:
        return None, -1
    row = [boxes.pop()]
    while boxes and not JOINT.sub("", text[boxes[-1].stop : row[0].start]):
        row.insert(0, boxes.pop())
    return ", ".join(box.content for box in row), row[0].start


def _box(text: str, hit: re.Match[str]) -> "_Box | None":
    if not text.startswith("{", hit.end()):
        token = re.match(r"\\?[^\s$.,;\\]+", text[hit.end() :])
        return _Box(token[0], hit.start(), hit.end() + token.end()) if token else None
    end = closing(text, hit.end())
    content = text[hit.end() + 1 : end].strip()
    return _Box(content, hit.start(), end + 1) if end is not None and content else None


class _Box(NamedTuple):
    content: str
    start: int
    stop: int


def closing(text: str, start: int) -> int | None:
    """Place of the brace that closes the one at `start`; escaped braces do not count."""
    depth = 0
    place = start
    while place < len(text):
        if text[place] == "\\":
            place += 1
        elif text[place] in "{}":
            depth += 1 if text[place] == "{" else -1
            if depth == 0:
                return place
        place += 1
    return None
