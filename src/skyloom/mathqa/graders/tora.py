"""ToRA: the lenient grader that many evaluations of MATH grew from; brackets stripped, numbers within 1e-4 and up to a factor of 100.

Formula  answer = the last box, else the text behind "the answer is", else a program's output, else the last number; equal =
         numbers within a relative 1e-4, times or over 100 too; or the same text without braces and parentheses; or member by
         member; or constants within 1e-3; or equal by computer algebra
Source   ToRA (Gou et al. 2023, arXiv 2309.17452) and its published evaluation, which the Qwen2.5-Math evaluation follows; rewritten
         from what they do
Flow     collect -> synthesize -> curate -> train -> [evaluate: PANEL] -> report
Run      skyloom mathqa eval --predictions OUTPUTS --data FILE --out DIR --set grader=tora
Limits   False positives that it is known for, kept on purpose: 100 and 1, 50 and 0.5, 123456 and 123457, -(x+1) and -x+1,
         (a+b)c and a+bc, x^{2}3 and x^{23}, 2\\cdot3 and 23. The original hands texts to SymPy in its own process; here constants
         are evaluated as floating-point numbers, and only texts with letters go to THE grader's killable algebra.
"""

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

from skyloom.mathqa.graders import _rules
from skyloom.mathqa.graders._rules import LATEX, braced, gold_of, replaced, same_algebra, slashed, unread
from skyloom.mathqa.panel import Example, GraderConfig
from skyloom.mathqa.verify.grading import Verdict

RULES: dict[str, str] = {
    **_rules.RULES,
    "number": "two numbers within a relative 1e-4, or one of them within it of a hundredth or a hundredfold of the other",
    "members": "two lists in like brackets, equal member by member",
    "constant": "two constant expressions within a relative 1e-3",
    "algebra": "the computer algebra calls the two texts the same value",
}
VERSION: int = 2
TOLERANCE: float = 1e-4
CONSTANT_TOLERANCE: float = 1e-3
FACTORS: tuple[float, ...] = (0.01, 1.0, 100.0)
LONGEST_CONSTANT: int = 200  # characters: keeps the depth of brackets below what Python's parser takes
LAST_NUMBER: re.Pattern[str] = re.compile(r"-?[0-9]*\.?[0-9]+")
NUMBER: re.Pattern[str] = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
UNIT: re.Pattern[str] = re.compile(r"\\text\{[^{}]*\}$")
CUT: tuple[tuple[str, str], ...] = (
    *(("$", ""), ("\\text", ""), ("x\\in", ""), ("\\%", ""), ("%", ""), (" .", " 0."), ("{.", "{0."), ("\\cdot", "")),
    *(("infinity", "\\infty"), ("and", ""), ("\\mathbf", "")),
)
MBOX: re.Pattern[str] = re.compile(r"\\mbox\{[^{}]*\}")
ZEROS: re.Pattern[str] = re.compile(r"([0-9])\.0+(?![0-9])")
SHORT_NAME: re.Pattern[str] = re.compile(r"[^=]{0,2}=([^=]*)")
ROOT: re.Pattern[str] = re.compile(r"\\sqrt(\w+)")
FRACTION: re.Pattern[str] = re.compile(r"\\frac\{([^{}]*)\}\{([^{}]*)\}")
BRACED_ROOT: re.Pattern[str] = re.compile(r"\\sqrt\{([^{}]*)\}")
ARITHMETIC: re.Pattern[str] = re.compile(r"[-0-9.()+*/]+")
OPERATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: math.pow,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(GraderConfig):
    """Nothing to set: its tolerances are what it is known for."""


def verdict(gold: str, output: str, config: Config) -> Verdict:
    """Equal by the first rule that holds; never raises on text."""
    del config
    wanted, given = gold_of(gold), found(output)
    nothing = unread(wanted, given)
    if nothing:
        return nothing
    by = rule(spelled(wanted), spelled(given))
    return Verdict(equal=bool(by), by=by or "text", answer=given)


def found(output: str) -> str:
    """The answer as written; empty where there is none."""
    if "boxed" in output:
        answer = _boxed(output.rpartition("boxed")[2])
    elif "he answer is" in output:
        answer = output.rpartition("he answer is")[2].strip()
    elif printed := output.rpartition("```output")[2].partition("```")[0].strip() if "```output" in output else "":
        answer = printed
    else:
        numbers = LAST_NUMBER.findall(output.replace(",", ""))
        answer = numbers[-1] if numbers else ""
    return answer.partition("\n")[0].removeprefix(":").removesuffix(".").removesuffix("/").strip()


def _boxed(rest: str) -> str:
    """Up to the brace that closes the box, or to the end; up to a dollar sign where the box has no brace."""
    if not rest.startswith("{"):
        return rest.partition("$")[0].strip()
    depth = 0
    for place, letter in enumerate(rest):
        depth += (letter == "{") - (letter == "}")
        if depth == 0:
            return rest[1:place]
    return rest[1:]


def spelled(answer: str) -> str:
    """The normal spelling of an answer."""
    text = replaced(answer.strip().rstrip("."), (("\\ ", ""), *LATEX))
    text = UNIT.sub("", text).strip() or text
    text = ZEROS.sub(r"\1", MBOX.sub("", replaced(text, CUT)))
    text = f"0{text}" if text.startswith(".") else text
    named = SHORT_NAME.fullmatch(text)
    text = ROOT.sub(r"\\sqrt{\1}", named[1] if named else text).replace(" ", "")
    return slashed(braced(text))


def rule(gold: str, answer: str) -> str:
    """The first rule by which two spellings are equal; empty where they are not."""
    a, b = _number(gold), _number(answer)
    if a is not None and b is not None:
        return "number" if any(math.isclose(a * factor, b, rel_tol=TOLERANCE) for factor in FACTORS) else ""
    if _stripped(gold, answer):
        return "text"
    if _ends(gold) == _ends(answer) in ("()", "[]"):
        parts = (gold[1:-1].split(","), answer[1:-1].split(","))
        if len(parts[0]) == len(parts[1]) > 1 and all(map(rule, *parts)):
            return "members"
    a, b = constant(gold), constant(answer)
    if a is not None and b is not None:
        return "constant" if math.isclose(a, b, rel_tol=CONSTANT_TOLERANCE) else ""
    return "algebra" if a is None and b is None and same_algebra(gold, answer) else ""


def _number(text: str) -> float | None:
    text = text.replace(",", "")
    return float(text) if NUMBER.fullmatch(text) else None


def _ends(text: str) -> str:
    return text[:1] + text[-1:] if len(text) > 1 else ""


def _stripped(gold: str, answer: str) -> bool:
    """Equal without braces and parentheses; the ends of an answer in brackets go too, unless the gold opens with the other kind."""
    other = {"[]": "(", "()": "["}.get(_ends(answer))
    enclosed = other is not None and not gold.startswith(other)
    texts = [text.strip("[]()") if enclosed else text for text in (gold, answer)]
    return len({replaced(text, ((bracket, "") for bracket in "{}()")) for text in texts}) == 1


def constant(text: str) -> float | None:
    """The value of a constant expression; None where it holds a letter, is undefined or is too long."""
    if len(text) > LONGEST_CONSTANT:
        return None
    before = ""
    while before != text:  # from the inside out
        before, text = text, BRACED_ROOT.sub(r"((\1)**(.5))", FRACTION.sub(r"((\1)/(\2))", text))
    text = replaced(text, (("\\pi", f"({math.pi!r})"), ("\\times", "*"), ("^", "**"), ("{", "("), ("}", ")")))
    text = re.sub(r"\)(?=[0-9.(])", ")*", re.sub(r"(?<=[0-9.])\(", "*(", text))
    if not ARITHMETIC.fullmatch(text):
        return None
    try:
        value = _evaluated(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError):
        return None
    return value if math.isfinite(value) else None


def _evaluated(node: ast.expr) -> float:
    """Arithmetic in floating point alone, so that no power grows without bound."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp):
        value = _evaluated(node.operand)
        return -value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        return OPERATIONS[type(node.op)](_evaluated(node.left), _evaluated(node.right))
    raise ValueError("not arithmetic")


EXAMPLE: tuple[Example, ...] = (
    Example("\\sqrt{2}", "So it is $\\boxed{1.4142}$.", True, "constant"),
    Example("2x+2", "So it is $\\boxed{2(x+1)}$.", True, "algebra"),
    Example("50", "The answer is 0.5", True, "number"),
    Example("-x+1", "The answer is $-(x+1)$", True, "text"),
    Example("7", "It is \\boxed{8}.", False, "text"),
)
