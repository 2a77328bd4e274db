"""Where the final answer stands in a solution.

Formula  the last mark wins: "The answer is" (with or without a colon; also "final answer is"), "#### n", a line "Answer: n" or
         "A: n", \\boxed{...} or \\fbox{...} with balanced braces; without any mark the last number, where the policy allows it
Source   the closing forms of Skywork-Math and MetaMath ("The answer is"), GSM8K (####), MATH (boxed), Minerva and DAPO
Flow     under mathqa.verify.grading
Run      find("so 3 + 4 = 7.\\nThe answer is 7.") == Found("7", "marker")
Limits   Without mark and number, the letter of an option that ends the text. Marks of English, French and Chinese.
         A solution that marks several answers one after the other is read by its last mark.
"""

import re
from typing import Literal, NamedTuple

Policy = Literal["marked", "last_number"]
MARKER = re.compile(
    r"(?:the\s+)?(?:final\s+)?answer\s+is\s*:\s*|(?:the\s+(?:(?:final|correct)\s+)?|final\s+|correct\s+)answer\s+is\s+"
    r"|correct\s+(?:option|choice)\s+is\s*:?\s+"
    r"|(?<!#)####(?!#)\s*|réponse\s*(?:est|:)\s*|答案\s*[是为：:]+\s*"
    r"|^[ \t]*[*_]*(?:(?:the\s+)?(?:final\s+)?answer|A)[*_]*\s*:\s*",
    re.IGNORECASE | re.MULTILINE,
)
MARK_WORDS = ("answer", "####", "réponse", "答案", "correct")  # one of which every mark holds, but for a line "A:"
LABEL = re.compile(r"^[ \t]*[*_]*A[*_]*\s*:\s*", re.IGNORECASE | re.MULTILINE)  # such a line
BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
NUMBER = re.compile(
    r"\\[dt]?frac\{-?\d+\}\{\d+\}|(?<![\w.\\)}])-?(?:\\?\$)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?(?: ?\\?%)?"
    r"|(?<![\w.])-?\.\d+|(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?(?: ?\\?%)?"
)
SENTENCE = re.compile(r"\.(?=\s+[A-Z]|\s*$)|\.\**$")
DELIMITED = re.compile(r"\$\$?(.+?)(?<!\\)\$\$?|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)
WIDE = "\u0900-\u0dff\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"  # scripts that write a word in one to three signs
PROSE = re.compile(rf"[{WIDE}]{{1,2}}|(?<![\\\w])[^\W\d_{WIDE}]{{2,}}")
JOINT = re.compile(r"\\quad|\\qquad|\\text|\\[()\[\],; ]|[\s$,;{}&]|and|or")  # what may stand between boxes of one row
MARKUP = r"\\text|\\[()\[\]]|[\s${}]"
LINK = re.compile(  # "\boxed{3} pens and \boxed{4}", "and \(y = \boxed{4}\)"
    rf"(?:{MARKUP}|\([a-z]\)|(?!and|or|then|so|but)[A-Za-z]+ ){{0,12}}\b(?:and|or)\b(?:{MARKUP}|\b[A-Za-z](?:_\{{?\w+\}}?)? ?=)*"
)
REASON = re.compile(r",?\s+(?:because|since)\b")
VERB = re.compile(r"\s(?:is|are|equals)\s+(?=\S{0,40}[\d$\\])")
OPTION = re.compile(r"(?<![\w'(])([A-J])(?=[.,;]|\s*\Z)")
CHOSEN = re.compile(rf"([A-J])(?:[.。]\s*|(?=[{WIDE}]))(?=[{WIDE}A-Za-z])")  # "D. it cannot be A"
GROUP = re.compile(r"[(\[].*[)\]]|\\\{.*\\\}|\\left.*\\right.{1,2}", re.S)
ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]+\}")
HEADING = re.compile(r"(?:step|part|case|conclusion|solution|method|problem|explanation)\b", re.IGNORECASE)
LONGEST = 200_000  # characters from the end that are looked at
WINDOWS = (200, 2_000)  # characters from the end that are read first: reading it all is what costs
MOST_MARKS = 8  # from the end; floods of open boxes cost no more than this
MOST_PROSE = 7  # words; a bare answer may be a short phrase
LONGEST_FORMULA = 200  # characters of a formula that ends a solution without a mark
LONGEST_LINK = 40  # characters between the boxes of one answer
SHORT = 2  # words behind a formula that may be its unit


class Found(NamedTuple):
    """An answer and how it was found."""

    answer: str
    by: Literal["box", "marker", "last_number", "bare"]
    whole: str = ""
    """The short sentence that a number was taken out of."""


def find(text: str, policy: Policy = "last_number") -> Found | None:
    """The final answer of a whole solution, as written; None where nothing is found."""
    if len(text) > LONGEST:
        text = text[-LONGEST:].partition(" ")[2]  # no answer is cut in two
    box, box_at = _last_box(text)
    for window in (*(size for size in WINDOWS if size < len(text)), len(text)):
        answer = _marked(text, max(len(text) - window, box_at))
        if answer:
            return Found(answer, "marker")
    if box is not None:
        return Found(box, "box")
    return _unmarked(text) if policy == "last_number" else None


def _marked(text: str, start: int) -> str | None:
    """The answer behind the last mark, of those that begin at `start` or later, that has one."""
    folded = text[start:].casefold()
    if any(word in folded for word in MARK_WORDS):
        marks = MARKER.finditer(text, start)
    elif ":" in folded:
        marks = LABEL.finditer(text, start)  # the same, at a tenth of the cost
    else:
        return None
    for mark in reversed(list(marks)[-MOST_MARKS:]):
        rest = text[mark.end() :]
        answer = _behind_hashes(rest) if "#" in mark[0] else _behind(rest, label="is" not in mark[0].lower())
        if answer:
            return answer
    return None


def answer_of(text: str, policy: Policy = "last_number") -> Found | None:
    """The same for a text that may be a bare answer already."""
    found = find(text, "marked")
    if found is not None:
        return found
    bare = text.strip()
    if len(bare) > LONGEST:
        return find(bare, policy)
    first, _, last = bare.rpartition("\n")
    if _prose(first) >= SHORT and last.strip() and not _prose(last) and "\\end" not in last:
        bare = last.strip()  # a working, and the answer alone in the last line
    option, reason = CHOSEN.match(bare), REASON.search(bare)
    if option:
        return Found(option[1], "bare")
    if reason and reason.start() and _prose(bare[: reason.start()]) == 0:
        return Found(bare[: reason.start()], "bare")  # "42 because of this"
    if not bare or _prose(bare) > MOST_PROSE:
        return find(text, policy)
    formulas = [hit for hit in DELIMITED.finditer(bare) if _formula(hit)]
    if formulas and PROSE.search(bare[: formulas[0].start()]):  # "The solution is $x > 5$"
        return Found(_content(formulas[-1]), "bare")
    sentence = bare[0].isalpha() and _prose(bare) > SHORT and bool(_numbers(bare))  # "She has 5 apples left"
    found = find(bare, policy) if sentence else None
    return found._replace(whole=bare) if found else Found(bare, "bare")


def _unmarked(text: str) -> Found | None:
    """The last number, or the tuple or set in a formula that holds it; without numbers the letter of an option at the end."""
    numbers = list(NUMBER.finditer(text))
    if not numbers:
        letters = list(OPTION.finditer(text))
        at_end = bool(letters) and not text[letters[-1].end() :].strip(" .)*\n")
        return Found(letters[-1][1], "last_number") if at_end else None
    last = numbers[-1]
    for opening, shut in (("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        start, stop = text.rfind(opening, 0, last.start()) + len(opening), text.find(shut, last.end())
        formula = text[start:stop].strip() if start >= len(opening) and 0 <= stop - start < LONGEST_FORMULA else ""
        if GROUP.fullmatch(formula) and not _prose(formula):
            return Found(formula, "last_number")
    return Found(last[0].strip(), "last_number")


def _formula(hit: re.Match[str]) -> bool:
    """Between dollars stands a formula, not the text between two prices."""
    return "\\" in hit[0] or not hit[0].startswith("$") or _prose(hit[0]) == 0


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
    if not display:
        line = REASON.split(line, maxsplit=1)[0]
    box, _ = _last_box(line)
    if box is not None:
        return box
    verbs = [] if display else list(VERB.finditer(line))
    if verbs and PROSE.search(line[: verbs[-1].start()]):  # "The largest n is 34"
        line = line[verbs[-1].end() :]
    if re.search(f"[{WIDE}]", line) and _numbers(line):
        return _numbers(line)[-1]
    option = OPTION.search(line)
    if option and _prose(line) > SHORT and not _numbers(line):  # "for sure D, since the others are too large"
        return option[1]
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
    while boxes and _joined(text[boxes[-1].stop : row[0].start]):
        row.insert(0, boxes.pop())
    return ", ".join(box.content for box in row), row[0].start


def _joined(between: str) -> bool:
    """Do two boxes with this between them hold one answer?"""
    return not JOINT.sub("", between) or (len(between) <= LONGEST_LINK and LINK.fullmatch(between) is not None)


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
