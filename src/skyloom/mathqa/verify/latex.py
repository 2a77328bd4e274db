r"""Cleaning: one spelling for answers that people write in LaTeX, in plain text, or in a mixture.

Formula  delimiters, spacing and sizing commands, degree and currency marks go; \dfrac and \frac12 become \frac{1}{2}; x^2
         becomes x^{2}; \text{...} is unwrapped between blanks; multiplication becomes *, typographic signs become ASCII
Source   LaTeX. Brackets and grouping braces stay: graders that strip them take -(x+1) for -x+1 and x^{2}3 for x^{23}
Flow     under mathqa.verify.answers
Run      clean(r"$\dfrac12\,$") == r"\frac{1}{2}"
"""

import re
import sys
import unicodedata

# Every decimal digit reads as 0 to 9: full-width, Arabic-Indic, Devanagari and the rest; marks that only steer the display go.
DIGITS = {chr(k): str(unicodedata.digit(chr(k))) for k in range(128, 1 << 16) if unicodedata.category(chr(k)) == "Nd"}
UNSEEN = {chr(k): "" for k in range(sys.maxunicode + 1 >> 4) if unicodedata.category(chr(k)) == "Cf"}
SIGNS = str.maketrans(DIGITS | UNSEEN | {
    "−": "-", "–": "-", "—": "-", "×": "*", "⋅": "*", "·": "*", "∗": "*", "÷": "/", "∕": "/", "⁄": "/", "°": r"^{\circ}",
    "’": "'", "‘": "'", "，": ",", "（": "(", "）": ")", "％": "%", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ",
    "∞": r"\infty ", "π": r"\pi ", "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "±": r"\pm ", "∓": r"\mp ",
    "≈": r"\approx ", "ℝ": r"\mathbb{R}", "∅": r"\emptyset ",
    "¹": "^{1}", "²": "^{2}", "³": "^{3}", "⁴": "^{4}", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
    "。": ".", "；": ";", "：": ":", "［": "[", "］": "]", "｛": "{", "｝": "}", "＋": "+", "－": "-", "＝": "=", "．": ".", "\x00": "",
    "“": "", "”": "", '"': "", "٫": ".", "٬": ",", "、": ",",
    "£": " ", "€": " ", "¥": " ", "₹": " ", "\u00a0": " ", "\u2062": "*", "\u2009": "", "\u202f": "",
})  # fmt: skip
NUMERAL = re.compile(r"-?[0-9]+(?:[,.][0-9]+)*")
ESCAPED_TWICE = re.compile(r"\\(?=\\[A-Za-z]{2})")  # \\\\le; in a matrix it is the end of a row
DEGREE = r"(?:\^\s*\{?\s*\\(?:circ|degree)\s*\}?|\\(?:degree|deg|degrees)(?![A-Za-z]))"
# Applied in this order; each takes one pass.
RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), put)
    for pattern, put in (
        (r"(?<=[\w)}])\*\*(?=[\w({-])", "^"),  # Python's power
        (r"\*\*|__", ""),  # Markdown's bold
        (r"\\\$|\$|(?<!\\)\\[\[\]()]", ""),
        (r"\{,\}", ","),
        (r"(?<!\\)\\!\s*|(?<!\\)\\[,;:>]|\\thinspace(?![A-Za-z])", ""),
        (r"\\(?:quad|qquad|displaystyle|textstyle|limits|left|right|[bB]igg?[lr]?)(?![A-Za-z])(?:\.(?=\s|$))?", " "),
        (r"(?<!\\)\\\s|~", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (
            rf"(\\(?:sin|cos|tan|cot|sec|csc)\s*(?:\^\s*\{{?\s*\d\s*\}}?)?\s*[({{]?\s*)(\d+(?:\.\d+)?)\s*{DEGREE}",
            r"\1\\frac{\2\\pi}{180}",
        ),
        (rf"{DEGREE}\s*(?:[CF](?![A-Za-z]))?", " "),
        (
            r"\\(?:text|textbf|textit|textrm|textnormal|mbox|hbox|mathrm|mathbf|mathit|mathsf|operatorname|emph)\*?\s*\{([^{}]*)\}",
            r" \1 ",
        ),
        (r"\\%", "%"),
        (r"\\(?:times|cdot|ast)(?![A-Za-z])", "*"),
        (r"\\div(?![A-Za-z])", "/"),
        (r"\\leq?(?:slant)?(?![A-Za-z])", r"\\le "),
        (r"\\geq?(?:slant)?(?![A-Za-z])", r"\\ge "),
        (r"\\neq(?![A-Za-z])|!=", r"\\ne "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"<=", r"\\le "),
        (r">=", r"\\ge "),
        (r"\\(?:lbrace|\{)", r"\\{"),
        (r"\\(?:rbrace|\})", r"\\}"),
        (r"\\(?:lbrack)(?![A-Za-z])", "["),
        (r"\\(?:rbrack)(?![A-Za-z])", "]"),
        (r"\\mathbb\s*(?:R(?![A-Za-z])|\{\s*R\s*\})", r"\\reals "),
        (r"\\(?:mathbb|mathcal)\s*\{([A-Z])\}", r"\1"),
        (r"\\(?:emptyset|varnothing)(?![A-Za-z])", r"\\{\\}"),
        (r"(?<=[)\]])\s*U\s*(?=[(\[])", r"\\cup "),
        (r"^\s*(?:\\approx|(?i:option|choice)(?=\s+\(?[A-J]\)?$))", ""),
        (r"(?<=\d)\s?x\s?(?=10\s?\^)", "*"),
        (r"\\lg(?![A-Za-z])", r"\\log "),
        (r"(?<=[\d.])\\(?:bar|dot|overline)\s*(?:\{\s*(\d+)\s*\}|(\d))", r"\\overline{\1\2}"),
        (r"(?<![\\A-Za-z])sqrt\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<![\\A-Za-z])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])", r"\\infty "),
        (r"√\s*\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?:√|\\sqrt(?![A-Za-z]))\s*(\d+|[A-Za-z])", r"\\sqrt{\1}"),  # \sqrt12 is meant as \sqrt{12}
        (r"\\(frac|binom)\s*(\\[A-Za-z]+|[A-Za-z0-9])\s*", r"\\\1{\2}"),
        (r"(\\(?:frac|binom)\s*\{[^{}]*\})\s*(\\[A-Za-z]+|[A-Za-z0-9])", r"\1{\2}"),
        (r"\^\s*\(([^()]*)\)", r"^{\1}"),  # plain text: 2^(1/4)
        (r"\^\s*(-?\d+|[A-Za-z])", r"^{\1}"),  # x^10 is meant as x^{10}, though TeX sets a 1 above and a 0 beside it
        (r"_\s*([A-Za-z0-9])", r"_{\1}"),
        (r"\s+", " "),
        (r"(?<=\d) (?=(?:\d{3} ){0,4}\d{3}(?! ?[\d/]))", ""),  # 12 345 678
    )
)


def clean(text: str) -> str:
    """One spelling of an answer; single blanks stay where they may part words or a mixed number."""
    if NUMERAL.fullmatch(text):  # nothing to clean, and most answers are one
        return text
    return _clean(text)


def _clean(text: str) -> str:
    """As clean, by all the rules."""
    text = text.translate(SIGNS).strip().rstrip("\\")
    if "\\end" not in text:
        text = ESCAPED_TWICE.sub("", text)
    for pattern, put in RULES:
        text = pattern.sub(put, text)
    return text.lstrip(";,:? ").rstrip(".;,:? ")
