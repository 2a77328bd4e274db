"""What kind of question a problem asks, by rules over its text and its known answer: the kinds that make a poor training question.

Kinds    proof           nothing is asked but to prove or show something
         choice          the answer is picked from lettered options
         parts           two or more results are asked for
         unanswerable    a picture, formula or earlier part that the text speaks of is not there, or no answer is known
         broken_latex    braces, dollar signs, environments or \\left and \\right that do not match
Rule     each kind has a few patterns and gives the words that it was found by; a text may be of several kinds, most are of none.
         A rule speaks only where it is sure: what it misses is what a teacher may be asked (annotate/question_kind.py)
Source   the cues of the question classifiers of NeMo-Skills (OpenMathReasoning, arXiv 2504.16891); the rules are ours
Flow     sources reject a problem that is only a picture; annotate/question_kind.py writes the rest as columns
Run      classify("Prove that $2$ is even.", "proof") == {"proof": "Prove that"}
"""

import re
from collections.abc import Mapping
from typing import Literal, get_args

Kind = Literal["proof", "choice", "parts", "unanswerable", "broken_latex"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LONGEST: int = 80
"""Characters of a span that is given as evidence."""

DRAWING: re.Pattern[str] = re.compile(
    r"\[asy\].*?(?:\[/asy\]|\Z)|\\begin\{(tikzpicture|asy)\}.*?(?:\\end\{\1\}|\Z)|```(?:asy|latex)\b.*?(?:```|\Z)",
    re.DOTALL,
)
"""A picture as code, which a model can read."""
IMAGE: re.Pattern[str] = re.compile(
    r"!\[[^\]]{0,500}\]\([^)]{0,2000}\)|<im(?:g|age)(?:_\d+)?\b[^>]{0,2000}>|\\includegraphics(?:\[[^\]]{0,200}\])?\{[^}]{0,500}\}|\[(?:image|img|picture)\]",
    re.IGNORECASE,
)
"""The place of a picture that is not there."""

ORDER: str = r"(?:(?:^|[.!?:;,][\"')\]$]*\s|\n|\(\w{1,4}\))\s{0,8}|\b(?:and|or|then|also|hence|please)\s+)"
"""What stands before a verb that orders something."""
PROVE: re.Pattern[str] = re.compile(
    ORDER + r"((?:prove|disprove|show|demonstrate|verify)\b(?!,? (?:your|all|each)\b)[^.?!]{0,40})", re.IGNORECASE
)
ASK: re.Pattern[str] = re.compile(
    r"\?|\bhow (?:many|much)\b|"
    + ORDER
    + r"(?:find|determine|compute|calculate|evaluate|solve|simplify|express|give|provide|list|enter|state|write)\b",
    re.IGNORECASE,
)
PROVED: re.Pattern[str] = re.compile(r"(?:see (?:the )?)?proof\.?|prove[dn]\.?|q\.?e\.?d\.?", re.IGNORECASE)
UNKNOWN: re.Pattern[str] = re.compile(
    r"|\?+|not ?found|n/?a|nan|none given|no answer|unknown|see (?:the )?solution\.?", re.IGNORECASE
)

OPTION: re.Pattern[str] = re.compile(
    r"(?<![A-Za-z0-9\\^_|])\(\s*(?:\\(?:textbf|mathbf|text|mathrm|rm)\s*\{?\s*)?([A-H])\s*\}?\s*\)(?!\s*[=^])"
    r"|(?:^|\n|\\\\|\\q?quad)\s{0,8}(?:\\(?:textbf|mathbf|text|mathrm)\s*\{)?\(?([A-H])[).:、．](?=\s*\S)",
)
LETTERS: re.Pattern[str] = re.compile(
    r"(?:\\(?:text|textbf|mathrm|mathbf)\{)?\(?[A-H](?:(?:,\s*|\s+)?[A-H]){0,4}\)?\}?"
)
PICK: re.Pattern[str] = re.compile(
    r"\b(?:enter|give|write|list|choose|select|state) the (?:(?:correct|appropriate|right) )?(?:letters?|options?)\b[^.?!]{0,60}|"
    r"\b(?:correct|following|right) (?:options?|choices?|statements?|answers?)\b[^.?!]{0,60}",
    re.IGNORECASE,
)
STATEMENTS: re.Pattern[str] = re.compile(r"\bhow many of (?:the|these)\b", re.IGNORECASE)

PART: re.Pattern[str] = re.compile(
    r"(?<![A-Za-z0-9\\^_|{])\(([a-f]|i{1,3}|iv|v|[1-6])\)|(?:^|\n)\s{0,8}(?:\\(?:textbf|text)\{)?([a-f]|[1-6]|i{1,3}|iv|v)[.)](?=\s)"
    r"|\b(?:part|question) ([a-f1-6])\b[.:)]",
    re.IGNORECASE,
)
SPEECH: re.Pattern[str] = re.compile(r"\"[^\"]{0,500}\"|“[^”]{0,500}”|``.{0,500}?''", re.DOTALL)
SERIES: tuple[tuple[str, ...], ...] = (tuple("abcdef"), tuple("123456"), ("i", "ii", "iii", "iv", "v"))
PART_ASK: re.Pattern[str] = re.compile(
    r"\W{0,20}(?:find|determine|compute|calculate|evaluate|solve|simplify|prove|show that|what|which|how|express|sketch)\b",
    re.IGNORECASE,
)
STEPS: re.Pattern[str] = re.compile(
    r"\b(?:steps?|rules?|operations?|moves?|conditions?|questions)\b[^.?!]{0,80}:\W{0,20}(?:bullet\W{0,20})?\Z",
    re.IGNORECASE,
)
"""What announces a numbered list that is no list of questions."""
WH: re.Pattern[str] = re.compile(r"\b(?:what|how|which|who|when|where|find|determine)\b", re.IGNORECASE)
AGAIN: re.Pattern[str] = re.compile(
    r"\A\W*(?:if|in other words|that is|namely|i\.e\.|then)\b|\bif (?:the|this|your|its) [\w ]{1,30} is\b",
    re.IGNORECASE,
)
"""What tells a question that puts the one before it in other words, or asks for its result in another form."""

SEEN: str = r"(?:figure|diagram|picture|image|illustration|drawing|sketch|chart|table|graph)"
MISSING: re.Pattern[str] = re.compile(
    rf"\b(?:(?:as|is|are) )?(?:shown|pictured|illustrated|depicted|displayed) (?:in|on|by) (?:the |this )?(?:\w+ )?{SEEN}\b(?! of)"
    rf"|\b(?:in|on|from|see|consider|refer to|to) (?:the|this) (?:accompanying |adjoining |attached |following |given |right |left )?"
    r"(?:figure|diagram)\b"
    rf"|\b(?:the|this) {SEEN} (?:above|below|shown|to the (?:left|right)|on the (?:left|right))\b"
    rf"|\b(?:accompanying|adjoining|attached) {SEEN}\b|\b(?:in|see|from) (?:figure|fig\.) \d",
    re.IGNORECASE,
)
"""Words that point at a picture or a table."""
PRESENT: re.Pattern[str] = re.compile(
    r"\[asy\]|```|\\begin\{(?:asy|tikzpicture|tabular|array|[a-z]*matrix|picture)\}|\|[^|\n]*\|[^|\n]*\||\\hline|\n[^\n]*&[^\n]*&",
    re.DOTALL,
)
"""A picture or table that is there."""
EARLIER: re.Pattern[str] = re.compile(
    r"\b(?:in|of|from|by|to) part \(?[a-d]\)?(?!\w)|\b(?:previous|preceding) (?:part|problem)\b",
    re.IGNORECASE,
)
"""Words that point at a problem before this one."""
ABOVE: re.Pattern[str] = re.compile(
    r"\b(?:expression|equations?|system|formula|function|inequality|passage)s? (?:shown |given )?above\b", re.IGNORECASE
)

TOKEN: re.Pattern[str] = re.compile(
    r"\\\\|\\(?:begin|end)\s*\{[^{}]*\}|\\(?:left|right)(?![A-Za-z])|\\[()\[\]]|\\.|\$\$|[{}$]", re.DOTALL
)
MONEY: re.Pattern[str] = re.compile(r"\$\s?[\d.][\d,]*(?:\.\d+)?(?=[\s,.;:?!)\-/]|$)|\d\$")
PAIRS: dict[str, str] = {"}": "{", "\\)": "\\(", "\\]": "\\[", "\\right": "\\left"}


def without_pictures(text: str) -> str:
    """The words alone: drawings as code and places of images taken out."""
    return IMAGE.sub(" ", DRAWING.sub(" ", text))


def classify(question: str, answer: str) -> Mapping[Kind, str]:
    """Kinds of a problem, each with the words that it was found by (80 characters at most); empty for a plain question."""
    words: str = without_pictures(question)
    choice: str | None = _choice(words, answer)
    found: dict[Kind, str | None] = {
        "proof": _proof(words, answer),
        "choice": choice,
        "parts": _parts(words) if choice is None else None,
        "unanswerable": _unanswerable(question, words, answer),
        "broken_latex": unbalanced(DRAWING.sub(" ", question)) or unbalanced(answer),
    }
    return {kind: _short(span) for kind, span in found.items() if span is not None}


def _short(span: str) -> str:
    return " ".join(span.split())[:LONGEST]


def _proof(words: str, answer: str) -> str | None:
    if PROVED.fullmatch(answer.strip()):
        return f"answer: {answer}"
    order = PROVE.search(words)
    return order[1] if order is not None and not ASK.search(words) else None


def _choice(words: str, answer: str) -> str | None:
    letters: bool = LETTERS.fullmatch(answer.strip()) is not None
    labels = _in_order(
        [(hit[1] or hit[2], hit.start(), hit.end()) for hit in OPTION.finditer(words)], tuple("ABCDEFGH")
    )
    spans = _spans(words, labels)
    listed: bool = len(spans) >= (2 if letters else 3) and all(re.search(r"\w", span) for span in spans)
    if listed and (letters or not STATEMENTS.search(words)):
        return words[labels[0][1] :]
    pick = PICK.search(words)
    return pick[0] if letters and pick is not None else None


def _parts(text: str) -> str | None:
    words = SPEECH.sub(" ", text)
    hits = [((hit[1] or hit[2] or hit[3]).lower(), hit.start(), hit.end()) for hit in PART.finditer(words)]
    for series in SERIES:
        labels = _in_order(hits, series)
        asking = [span for span in _spans(words, labels) if PART_ASK.match(span) or ASK.search(span)]
        if len(asking) > 1 and not STEPS.search(words[: labels[0][1]]):
            return asking[0]
    asked = [
        sentence for sentence in re.split(r"(?<=[.?!])\s+", words) if sentence.endswith("?") and WH.search(sentence)
    ]
    separate = asked[:1] + [sentence for sentence in asked[1:] if not AGAIN.search(sentence)]
    return " ".join(separate[:2]) if len(separate) > 1 else None


_Label = tuple[str, int, int]


def _in_order(labels: list[_Label], series: tuple[str, ...]) -> list[_Label]:
    """The labels that count up from the first of a series, each behind the one before."""
    found: list[_Label] = []
    for label in labels:
        if len(found) < len(series) and label[0] == series[len(found)]:
            found.append(label)
    return found


def _spans(words: str, labels: list[_Label]) -> list[str]:
    """The text behind each label, up to the next."""
    starts = [start for _, start, _ in labels[1:]] + [len(words)]
    return [words[end:start] for (_, _, end), start in zip(labels, starts, strict=False)] if labels else []


def _unanswerable(question: str, words: str, answer: str) -> str | None:
    if UNKNOWN.fullmatch(answer.strip()):
        return f"answer: {answer}"
    image = IMAGE.search(question)
    if image is not None:
        return image[0]
    missing = MISSING.search(words)
    if missing is not None and not PRESENT.search(question):
        return missing[0]
    earlier = EARLIER.search(words)
    if earlier is not None and not PART.search(words[: earlier.start()]):
        return earlier[0]
    above = ABOVE.search(words)
    return above[0] if above is not None and not re.search(r"[$\d=]|\\[\[(]", words[: above.start()]) else None


def unbalanced(text: str) -> str | None:
    """The first piece of LaTeX that has no partner, with what follows it; None where all match. Money is no formula."""
    waiting: list[tuple[str, int]] = []
    formulas: dict[str, int] = {}
    for hit in TOKEN.finditer(text):
        token = hit[0]
        if token == "$$" and "$" in formulas:  # one formula ends and the next begins
            formulas["$"] = hit.start() + 1
        elif token in formulas:
            del formulas[token]
        elif token in ("$", "$$"):
            formulas[token] = hit.start()
        elif token in PAIRS.values() or token.startswith("\\begin"):
            waiting.append((token, hit.start()))
        elif token in PAIRS or token.startswith("\\end"):
            partner = PAIRS.get(token) or token.replace("\\end", "\\begin", 1)
            if not waiting or waiting[-1][0] != partner:
                return text[hit.start() :]
            waiting.pop()
    if waiting:
        return text[waiting[0][1] :]
    money: bool = MONEY.search(text) is not None or not re.search(r"[\\^_]", text)
    return text[min(formulas.values()) :] if formulas and not money else None
