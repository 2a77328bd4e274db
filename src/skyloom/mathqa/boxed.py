"""The last boxed answer of a LaTeX solution: balanced braces, `\\boxed`, `\\fbox`, and `\\boxed 5` without braces.

Source   the form of MATH solutions (Hendrycks et al. 2021, arXiv 2103.03874)
Flow     sources and evals read the gold answer with it; predictions are read by verify/grading.py
"""

import re

BOX: re.Pattern[str] = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")


def last_boxed(solution: str) -> str | None:
    """Content of the last box, stripped; None where there is none or its braces do not balance."""
    hits: list[re.Match[str]] = list(BOX.finditer(solution))
    if not hits:
        return None
    start: int = hits[-1].end()
    if not solution.startswith("{", start):
        return re.match(r"[^\s$.,;]*", solution[start:])[0] or None  # pyright: ignore[reportOptionalSubscript] - always matches
    end: int | None = _closing(solution, start)
    return None if end is None else solution[start + 1 : end].strip() or None


def _closing(text: str, start: int) -> int | None:
    """Place of the brace that closes the one at `start`; escaped braces do not count."""
    depth: int = 0
    skip: bool = False
    for place in range(start, len(text)):
        char: str = text[place]
        if skip:
            skip = False
        elif char == "\\":
            skip = True
        elif char in "{}":
            depth += 1 if char == "{" else -1
            if depth == 0:
                return place
    return None
