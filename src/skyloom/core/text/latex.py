r"""One spelling of a maths problem, so that core/text/normal.py finds the same words however its LaTeX was typed.

Formula  a figure in Asymptote code is one word, the same for equal figures; delimiters, sizes, spacing commands, font commands and
         environments go, what they hold stays; \dfrac12, \frac{1}{2} and 1/2 are one, \cdot and \times are *, \leq is <=, ^\circ is
         degrees, 1{,}000 is 1,000
Source   LaTeX; the choice is ours
Flow     under core.text.items, mathqa.annotate.duplicates and near_duplicates
Run      plain(r"$\left(\dfrac12\right)^2\le3$") has the words of "(1/2)^2 <= 3"
Limits   Numbers, letters and brackets stay as they are: another number is another problem. Not for answers: mathqa/verify/latex.py is.
         Fractions nested more than DEPTH times keep the word frac. Every pattern reads a text once: linear in its length
"""

import hashlib
import re

DEPTH: int = 3
GREEK: tuple[str, ...] = (
    "alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "pi", "rho", "sigma", "phi", "omega",
)  # fmt: skip
TWINS: dict[int, str] = str.maketrans(
    {
        "≤": "<=",
        "≥": ">=",
        "≠": r"\ne ",
        "°": r"\degree ",
        "√": r"\sqrt ",
        "∞": r"\infty ",
        **{sign: f"\\{name} " for sign, name in zip("αβγδεθλμπρσφω", GREEK, strict=True)},
    }
)
END: str = r"(?![A-Za-z])"
# Applied in this order; each takes one pass.
RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.S), put)
    for pattern, put in (
        (r"\{,\}|,\\!", ","),
        (r"\\\$|\$|\\[\[\]()]", " "),
        (r"\\\\|&", " "),  # before a backslash with a sign behind it is read: "\\," is a line end and a comma
        (r"\\[!,;:> ]|~", " "),
        (rf"\\(?:q?quad|thinspace|displaystyle|textstyle|limits|left|right|[bB]igg?[lrm]?){END}\.?", " "),
        (rf"\\(?:[lcv]?dots|dots[cbmio]|hline){END}", " "),
        (r"\\(?:begin|end)\s?\{[A-Za-z]+\*?\}(?:\{[lcr| ]*\})?", " "),
        (
            r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|[mh]box|math(?:rm|bf|it|sf|bb|cal)|operatorname|emph)\*?\s?\{([^{}]*)\}",
            r" \1 ",
        ),
        (rf"\\(?:cdot|times|ast){END}", "*"),
        (rf"\\div{END}", "/"),
        (rf"\\(?:le|leq|leqslant){END}", "<="),
        (rf"\\(?:ge|geq|geqslant){END}", ">="),
        (rf"\\neq{END}|!=", r"\\ne "),
        (rf"\\lt{END}", "<"),
        (rf"\\gt{END}", ">"),
        (rf"\^?\s?\{{?\s?\\(?:circ|degree)s?{END}\s?\}}?", " degrees "),
        (r"_\s?([A-Za-z0-9])", r"_{\1} "),  # TeX lowers one character: \log_21 is \log_2 1
        (rf"\\[dtc]frac{END}", r"\\frac"),
        (r"\\frac\s?([A-Za-z0-9])\s?([A-Za-z0-9])", r"\\frac{\1}{\2}"),
        (r"\\frac\s?([A-Za-z0-9])\s?\{", r"\\frac{\1}{"),
        (r"(\\frac\s?\{[^{}]*\})\s?([A-Za-z0-9])", r"\1{\2}"),
    )
)
FRACTION: re.Pattern[str] = re.compile(r"\\frac\s?\{([^{}]*)\}\s?\{([^{}]*)\}")
FIGURE: re.Pattern[str] = re.compile(r"\[asy\]((?:(?!\[/?asy\]).)*)\[/asy\]", re.S)
LOOSE: re.Pattern[str] = re.compile(r"[\s$\\(){}]")
TYPED: re.Pattern[str] = re.compile(r"[\\$_~&{]|\[asy\]|!=")


def plain(text: str) -> str:
    """The text with one spelling for LaTeX that reads the same; a text without LaTeX comes back as it is, signs such as ≤ apart."""
    text = text if text.isascii() else text.translate(TWINS)
    if not TYPED.search(text):
        return text
    text = " ".join(FIGURE.sub(_figure, text).split())
    for pattern, put in RULES:
        text = pattern.sub(put, text)
    for _ in range(DEPTH):
        text, found = FRACTION.subn(r"(\1)/(\2)", text)
        if not found:
            break
    return text


def _figure(found: re.Match[str]) -> str:
    """Two problems that say "what is x in the figure" are one problem only where the figure is one; its code would drown the words."""
    code = LOOSE.sub("", found[1]).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(code, digest_size=16).digest()
    return f" figure {''.join(chr(ord('a') + byte % 26) for byte in digest)} "
