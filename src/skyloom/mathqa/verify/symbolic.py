"""The slow layer: are two LaTeX expressions the same mathematics? Runs in the worker process only; may hang or eat memory there.

Formula  constants: |a - b| <= 10^-40 max(|a|, |b|) at 60 digits, which keeps 1/2004! and 1/2006! apart; expressions: the same test
         at 6 fixed rational points; equations: the same solutions when (left - right) / (left' - right') is one non-zero
         constant at all points, a positive one for inequalities
Source   identity testing by evaluation (Schwartz 1980, Zippel 1979); parsing by latex2sympy2_extended, as in Math-Verify
Flow     under mathqa.verify.worker
Run      same(r"2(x+1)", "2x+2") is True
Limits   Points are real and positive or negative; i is the imaginary unit. Identities that hold nearly are not recognised.
"""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig

from skyloom.mathqa.verify.equivalence import FLOAT_DIGITS, significant

DIGITS = 60
LONGEST = 5_000  # digits to which constants are told apart
TOLERANCE = sympy.Float("1e-40", DIGITS)
POINTS: tuple[tuple[int, int], ...] = ((7, 3), (-5, 7), (19, 11), (-23, 13), (3, 17), (29, 5))
LARGE = 10**20  # what differs by 1 is near at 60 digits when it is large enough
FEWEST = 3  # points that must agree
PRIMES = re.compile(r"([A-Za-z])(?: ?_ ?\{([^{}]*)\})?((?: ?')+)")
UNREAD = re.compile(r"\d \d|! ?!|'")  # the parser adds the first, squares the second and drops the third
CONVERSION = ConversionConfig(lowercase_symbols=False)
RELATIONS = {sympy.Eq: "=", sympy.Ne: "!=", sympy.StrictLessThan: "<", sympy.LessThan: "<=",
             sympy.StrictGreaterThan: "<", sympy.GreaterThan: "<="}  # fmt: skip
Term: TypeAlias = Any  # Any: SymPy's classes are generated and carry no usable types


def same(left: str, right: str) -> bool | None:
    """True or False; None where either cannot be read, or no point decides."""
    a, b = _parse(left), _parse(right)
    if a is None or b is None:
        return None
    if a.has(sympy.Sum, sympy.Product, sympy.Integral):  # evaluated at points only where they differ in form
        a, b = _ordered(a), _ordered(b)
    if a == b and not a.has(sympy.zoo, sympy.nan):
        return True
    if isinstance(a, sympy.MatrixBase | sympy.MatrixExpr) or isinstance(b, sympy.MatrixBase | sympy.MatrixExpr):
        return _same_matrix(a, b)
    digits = max(significant(left), significant(right))
    if digits >= FLOAT_DIGITS and not _symbols(a, b):
        return _near(_at(a, [], 0), _at(b, [], 0), sympy.Float(10, DIGITS) ** (2 - digits))
    kinds = (_relation(a), _relation(b))
    if kinds[0] != kinds[1]:
        return False
    if kinds[0]:
        return _same_relation(_difference(a), _difference(b), kinds[0])
    return _same_value(a, b)


def _parse(text: str) -> Term | None:
    try:
        text = _readable(text)
        parsed: Term = None if UNREAD.search(text) else latex2sympy(text, conversion_config=CONVERSION)
        return _exact(parsed) if isinstance(parsed, sympy.Basic | sympy.MatrixBase) else None
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception:  # noqa: BLE001 - the parser raises bare Exception and whatever its grammar stumbles over
        return None


def _readable(text: str) -> str:
    """What the parser would misread: 2(1/3) is a product and no mixed number, f' a name, and T in an exponent a variable."""
    text = re.sub(r"(?<=\d) ?(?=\()|(?<=\)) ?(?=\\frac)", "*", text)
    text = PRIMES.sub(lambda hit: f"{hit[1]}_{{{hit[2] or ''}{'prime' * len(hit[3].replace(' ', ''))}}}", text)
    return text if r"\begin" in text else re.sub(r"\^ ?\{ ?T ?\}", r"^{T_{0}}", text)


def _exact(term: Term) -> Term:
    """Decimals as the fractions that they are, i as the imaginary unit."""
    exact = {each: sympy.Rational(str(each)) for each in term.atoms(sympy.Float)}
    held = {each: each.args[0] for each in term.atoms(sympy.UnevaluatedExpr)}
    return term.xreplace(exact | held).subs(sympy.Symbol("i"), sympy.I)  # subs leaves the i of a sum alone


def _ordered(term: Term) -> Term:
    """Built anew, so that factors stand in SymPy's order."""
    return term.func(*(_ordered(each) for each in term.args)) if term.args else term


def _same_matrix(a: Term, b: Term) -> bool | None:
    """Entry by entry, after sums and products are worked out."""
    a, b = (term.doit() for term in (a, b))
    if not isinstance(a, sympy.MatrixBase) or not isinstance(b, sympy.MatrixBase):
        return None
    if a.shape != b.shape:
        return False
    entries = [_same_value(x, y) for x, y in zip(a.flat(), b.flat(), strict=True)]
    return False if False in entries else None if None in entries else True


def _relation(term: Term) -> str:
    return next((sign for kind, sign in RELATIONS.items() if isinstance(term, kind)), "")


def _difference(relation: Term) -> Term:
    """What the relation says is zero, or above zero."""
    left, right = relation.args
    return left - right if isinstance(relation, sympy.StrictGreaterThan | sympy.GreaterThan) else right - left


def _same_value(a: Term, b: Term) -> bool | None:
    if not (isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr)):
        return True if a == b else None
    symbols = _symbols(a, b)
    if not symbols:
        return _same_constant(a, b)
    points = [
        (x, y, k)
        for k in range(len(POINTS))
        if (x := _at(a, symbols, k)) is not None and (y := _at(b, symbols, k)) is not None
    ]
    # Variables are real: where a root or logarithm leaves the reals, sqrt(1/n) and 1/sqrt(n) differ by a sign that nobody means.
    real = [point for point in points if point[0].is_extended_real and point[1].is_extended_real]
    used = points if a.has(sympy.I) or b.has(sympy.I) or len(real) < FEWEST else real
    if len(used) < FEWEST:
        return None
    return all(
        _near(x, y) and (abs(x) < LARGE or _same_constant(_put(a, symbols, k), _put(b, symbols, k))) for x, y, k in used
    )


def _same_constant(a: Term, b: Term) -> bool | None:
    """Measured by the terms that are left in the difference: 10^(10^10) and 10^(10^10) + 1 differ by 1, not by next to nothing."""
    gap = a - b
    if gap.is_Rational:
        return bool(gap == 0)
    whole, parts = _at(gap, [], 0), [_at(term, [], 0) for term in sympy.Add.make_args(gap)]
    known = [value for value in parts if value is not None and value.is_finite]
    if whole is None or not whole.is_finite or len(known) < len(parts):
        return _near(_at(a, [], 0), _at(b, [], 0))
    size = max(abs(value) for value in known)
    digits = int(sympy.log(size, 10).evalf(5)) if size > 1 else 0
    if not 0 < digits < LONGEST:
        return bool(abs(whole) <= TOLERANCE * size)
    return bool(abs(sympy.N(gap, DIGITS, maxn=DIGITS + digits)) <= TOLERANCE)  # 50! and 50! + 1


def _same_relation(a: Term, b: Term, sign: str) -> bool | None:
    """The same solutions, because one difference is a constant multiple of the other."""
    symbols = _symbols(a, b)
    if not symbols:
        return None
    pairs = [(_at(a, symbols, k), _at(b, symbols, k)) for k in range(len(POINTS))]
    ratios = [x / y for x, y in pairs if x is not None and y is not None and x != 0 and y != 0]
    if len(ratios) < FEWEST:
        return None
    constant = all(_near(ratio, ratios[0]) for ratio in ratios)
    return constant and (sign in ("=", "!=") or bool(sympy.re(ratios[0]) > 0))


def _symbols(a: Term, b: Term) -> list[Term]:
    """The variables of both, in one order."""
    return sorted(a.free_symbols.union(b.free_symbols), key=str)


def _put(term: Term, symbols: Sequence[Term], shift: int) -> Term:
    """The term at one point."""
    chosen = [sympy.Rational(*POINTS[(k + shift) % len(POINTS)]) + k // len(POINTS) for k in range(len(symbols))]
    return term.subs(dict(zip(symbols, chosen, strict=True)))


def _at(term: Term, symbols: Sequence[Term], shift: int) -> Term | None:
    """The number that the term is at one point, or None."""
    value = sympy.N(_put(term, symbols, shift), DIGITS)
    if value is sympy.nan or value.has(sympy.zoo):
        return None
    return value if value.is_number else None


def _near(a: Term | None, b: Term | None, tolerance: Term = TOLERANCE) -> bool | None:
    """None where one of them has no value."""
    if a is None or b is None:
        return None
    if a == b:
        return True
    if not (a.is_finite and b.is_finite):
        return False
    size = max(abs(a), abs(b))
    return bool(abs(a - b) <= tolerance * size)
