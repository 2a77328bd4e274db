"""The grader on other projects' own test cases: read from folders of their repositories, never imported, run or copied.

Source   the literal (gold, prediction, expected) cases of Math-Verify, inspect_ai, NeMo-Skills, lighteval and dart-math
Formula  agreed = our verdict is the expected one; a case is left out only by name (EXCLUDED: source, hash of the case, reason) or
         because its text is computed when their test runs
Run      python benchmarks/grader_cases.py --math-verify DIR --inspect DIR --nemo-skills DIR --lighteval DIR --dart-math DIR
Limits   A case that a project runs under a special option (loose symbols, another language) is run under our one policy.
"""

import argparse
import ast
import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from skyloom.mathqa.verify.grading import Grader

BAR = 0.98
PAIR = ("gold", "pred", "expected")


class Case(NamedTuple):
    """One case of another project."""

    gold: str
    prediction: str
    expected: bool
    where: str

    @property
    def key(self) -> str:
        """Names the case without showing its text."""
        return hashlib.sha256(json.dumps(self[:3]).encode()).hexdigest()[:10]


class NotLiteral(ValueError):
    """The case is computed when their test runs."""


# (source, hash of the case) -> why it is left out.
SPACE = "white space inside dollars decides there; the same formula on one line is equal for them too"
ROUNDED = "two to four digits pass for a third there; NeMo-Skills wants 5 and 5.001 apart"
BRACKETS = "a bare list, which they match in any order elsewhere, against an ordered tuple: both cannot hold"
LOOSE = "run under an option of theirs; the same pair has the other verdict without it"
LINE = "the gold is the line of a multiple-choice prompt, no answer"
SCALED = "a factor of 100 without a percent sign; their own 1 and 100 are unequal"
EXCLUDED: dict[tuple[str, str], str] = {
    ("math-verify", "3889a870f6"): SPACE,
    ("math-verify", "03b93c0b77"): SPACE,
    ("math-verify", "163e12e94c"): ROUNDED,
    ("math-verify", "81d95c0812"): ROUNDED,
    ("math-verify", "82230037d5"): BRACKETS,
    ("math-verify", "0fd6db33d3"): LOOSE,
    ("math-verify", "4a15e8d2c0"): LOOSE,
    ("math-verify", "ca8e9317a8"): "wrong expectation: 1 - 1/e is not 1 + 1/e",
    ("lighteval", "3889a870f6"): SPACE,
    ("lighteval", "03b93c0b77"): SPACE,
    ("lighteval", "163e12e94c"): ROUNDED,
    ("lighteval", "81d95c0812"): ROUNDED,
    ("lighteval", "82230037d5"): BRACKETS,
    ("lighteval", "6ea9438461"): LINE,
    ("lighteval", "6824678540"): LINE,
    ("lighteval", "df8b47d9a1"): LINE,
    ("dart-math", "21d679dcff"): "a matrix against a bare list, which is matched in any order",
    ("dart-math", "aea28a0cc7"): SCALED,
    ("dart-math", "41c2d24e3e"): SCALED,
    ("dart-math", "3e5691f778"): BRACKETS,
    ("dart-math", "c210ee7197"): LOOSE,
}


def literal(node: ast.expr | None) -> Any:  # Any: whatever their case holds
    """A constant, a collection of them, or a sum or quotient of two numbers."""
    if isinstance(node, ast.Tuple | ast.List):
        return [literal(each) for each in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Div):
        left, right = literal(node.left), literal(node.right)
        return left + right if isinstance(node.op, ast.Add) else left / right
    if isinstance(node, ast.Constant):
        return node.value
    raise NotLiteral


def parametrized(path: Path) -> Iterator[tuple[ast.FunctionDef, list[str], list[ast.expr]]]:
    """(test function, names, values) of each row of a parametrize decorator."""
    for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for mark in function.decorator_list:
            if not isinstance(mark, ast.Call) or not ast.unparse(mark.func).endswith("parametrize"):
                continue
            names = literal(mark.args[0])
            names = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
            if isinstance(mark.args[1], ast.List):
                for row in mark.args[1].elts:
                    yield function, names, list(row.elts) if len(names) > 1 and isinstance(row, ast.Tuple) else [row]


def triples(path: Path, unread: list[str]) -> Iterator[Case]:
    """Cases of tests that have a gold, a prediction and what is expected, with any further options."""
    for function, names, row in parametrized(path):
        if not {"gold", "pred"} <= set(names):
            continue
        named = dict(zip(names, row, strict=True))
        try:
            expected = literal(named.get("expected", named.get("result")))
            gold, prediction = literal(named["gold"]), literal(named["pred"])
        except NotLiteral:
            unread.append(function.name)
            continue
        yield Case(str(gold), str(prediction), bool(expected), function.name)


def math_verify(folder: Path, unread: list[str]) -> Iterator[Case]:
    """tests/*.py: parametrize("gold,pred,expected")."""
    for path in sorted(folder.glob("tests/test_*.py")):
        yield from triples(path, unread)


def lighteval(folder: Path, unread: list[str]) -> Iterator[Case]:
    """tests/unit/metrics/test_extractive_match.py, of the same form."""
    for path in sorted(folder.glob("tests/**/test_extractive_match.py")):
        yield from triples(path, unread)


def inspect_ai(folder: Path, unread: list[str]) -> Iterator[Case]:
    """tests/scorer/math_cases.json, and the parametrized answers of test_math.py whose test says what is expected."""
    for row in json.loads((folder / "tests/scorer/math_cases.json").read_text(encoding="utf-8")):
        yield Case(row["target"], row["output"], row["expected"] == "C", row["source"])
    for function, names, row in parametrized(folder / "tests/scorer/test_math.py"):
        body = ast.unparse(function)
        if names == ["answer", "target"] and "_score_answer" in body:
            yield Case(literal(row[1]), literal(row[0]), "'incorrect'" not in body, function.name)
        elif names == ["answer"] and "_score_answer" in body:
            answer = literal(row[0])
            for other in calls(function, "_score_answer"):
                target = other.args[1].elts[0]
                target = answer if isinstance(target, ast.Name) else literal(target)
                yield Case(target, answer, target == answer, function.name)
        elif "_score_answer" in body:
            unread.append(function.name)


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Calls of a function or method of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == name:
            yield node


def nemo_skills(folder: Path, unread: list[str]) -> Iterator[Case]:
    """tests/test_math_equal.py: pairs, both ways round; the test's name says what is expected."""
    del unread
    for function, _, row in parametrized(folder / "tests/test_math_equal.py"):
        pair = ["" if value is None else str(value) for value in literal(row[0])]
        for gold, prediction in (pair, pair[::-1]):
            yield Case(gold, prediction, "incorrect" not in function.name, function.name)


def dart_math(folder: Path, unread: list[str]) -> Iterator[Case]:
    """nbs/04_eval.ipynb: test_eq(evaluator.eq(a, b), expected) and evaluator.eq(a, b) == expected."""
    notebook = json.loads((folder / "nbs/04_eval.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code" or ".eq(" not in "".join(cell["source"]):
            continue
        tree = ast.parse("".join(line for line in cell["source"] if not line.startswith(("%", "!"))))
        expected = {id(call.args[0]): literal(call.args[1]) for call in calls(tree, "test_eq")}
        for call in calls(tree, "eq"):
            try:
                left, right = literal(call.args[0]), literal(call.args[1])
            except NotLiteral:
                unread.append("eq")
                continue
            wanted = bool(expected.get(id(call), True))
            for gold in left if isinstance(left, list) else [left]:
                yield Case(str(gold), str(right), wanted, "eq")


READERS: dict[str, Callable[[Path, list[str]], Iterator[Case]]] = {
    "math-verify": math_verify,
    "inspect": inspect_ai,
    "nemo-skills": nemo_skills,
    "lighteval": lighteval,
    "dart-math": dart_math,
}


def run(source: str, folder: Path, grader: Grader) -> float:
    """Print the table's row and the disagreements of one source; the share that agrees."""
    unread: list[str] = []
    cases = list(READERS[source](folder, unread))
    left_out = [case for case in cases if (source, case.key) in EXCLUDED]
    judged = [case for case in cases if (source, case.key) not in EXCLUDED]
    wrong = [
        (case, verdict)
        for case in judged
        if (verdict := grader.grade(case.gold, case.prediction)).equal != case.expected
    ]
    share = 1 - len(wrong) / max(1, len(judged))
    print(
        f"{source:12} {len(cases):>6} {len(left_out):>9} {len(unread):>7} {len(judged) - len(wrong):>7} {share:>7.1%}"
    )
    for case in left_out:
        print(f"    excluded {case.key} {case.where}: {EXCLUDED[source, case.key]}")
    for case, verdict in wrong:
        said, meant = ("equal", "unequal") if verdict.equal else ("unequal", "equal")
        print(f"    disagrees {case.key} {case.where}: {said} by {verdict.by}, expected {meant}")
        print(
            f"        gold {shorten(case.gold)}\n        prediction {shorten(case.prediction)}\n        read {verdict.answer!r}"
        )
    return share


def shorten(text: str) -> str:
    """The end of a long text, where the answer stands."""
    return repr(text if len(text) <= 300 else "..." + text[-297:])


def main() -> int:
    """Exit code 1 where a source is below the bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for source in READERS:
        parser.add_argument(f"--{source}", type=Path, metavar="DIR")
    folders = {name.replace("_", "-"): folder for name, folder in vars(parser.parse_args()).items() if folder}
    print(f"{'source':12} {'cases':>6} {'excluded':>9} {'unread':>7} {'agreed':>7} {'share':>7}")
    with Grader() as grader:
        shares = [run(source, folder, grader) for source, folder in folders.items()]
    return int(any(share < BAR for share in shares))


if __name__ == "__main__":
    sys.exit(main())
