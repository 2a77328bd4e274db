"""The driver of other projects' cases, on a folder of our own in the shape of each: what it reads, leaves out and reports."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from skyloom.mathqa.verify.grading import Grader

SCRIPT = Path(__file__).parents[4] / "benchmarks" / "grader_cases.py"
TRIPLES = """
import pytest

@pytest.mark.parametrize("gold,pred,expected", [("7", "$7$", 1), ("1/2", "0.5", True), ("7", "8", 0), ("8", "7", 1), (str(9), "9", 1)])
def test_own(gold, pred, expected):
    assert grade(gold, pred) == expected
"""
PAIRS = """
import pytest

@pytest.mark.parametrize("pair", [("3", "3.0"), ("x+1", "1+x")])
def test_correct(pair):
    ...

@pytest.mark.parametrize("pair", [("3", "4")])
def test_incorrect(pair):
    ...
"""
CELL = [
    "%matplotlib inline\n",
    "test_eq(evaluator.eq('3', '4'), False)\n",
    "evaluator.eq('1/2', '0.5')\n",
    "evaluator.eq(three, '3')\n",
]


@pytest.fixture(scope="module")
def driver() -> ModuleType:
    spec = importlib.util.spec_from_file_location("grader_cases", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "file", "text", "expected", "unread"),
    [
        ("math-verify", "tests/test_own.py", TRIPLES, [True, True, False, True], 1),
        ("lighteval", "tests/unit/metrics/test_extractive_match.py", TRIPLES, [True, True, False, True], 1),
        ("nemo-skills", "tests/test_math_equal.py", PAIRS, [True, True, True, True, False, False], 0),
        ("dart-math", "nbs/04_eval.ipynb", json.dumps({"cells": [{"cell_type": "code", "source": CELL}]}), [True, False], 1),
    ],
)  # fmt: skip
def test_cases_are_read(
    driver: ModuleType, tmp_path: Path, source: str, file: str, text: str, expected: list[bool], unread: int
) -> None:
    put(tmp_path / file, text)
    missed: list[str] = []
    cases = list(driver.READERS[source](tmp_path, missed))
    assert [case.expected for case in cases] == expected
    assert len(missed) == unread


def test_cases_of_inspect_are_read_from_json(driver: ModuleType, tmp_path: Path) -> None:
    rows = [
        {"target": "5", "output": "ANSWER: 5", "expected": "C", "source": "own"},
        {"target": "5", "output": "ANSWER: 6", "expected": "I", "source": "own"},
    ]
    put(tmp_path / "tests/scorer/math_cases.json", json.dumps(rows))
    put(tmp_path / "tests/scorer/test_math.py", "")
    cases = list(driver.READERS["inspect"](tmp_path, []))
    assert [(case.gold, case.prediction, case.expected) for case in cases] == [
        ("5", "ANSWER: 5", True),
        ("5", "ANSWER: 6", False),
    ]


def test_disagreements_are_shown_and_exclusions_named(
    driver: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "tests/test_own.py", TRIPLES)
    (wrong,) = [case for case in driver.math_verify(tmp_path, []) if case.gold == "8"]
    with Grader() as grader:
        assert driver.run("math-verify", tmp_path, grader) == 0.75
        assert f"disagrees {wrong.key} test_own: unequal by number, expected equal" in capsys.readouterr().out
        monkeypatch.setitem(driver.EXCLUDED, ("math-verify", wrong.key), "8 is not 7")
        assert driver.run("math-verify", tmp_path, grader) == 1.0
    assert f"excluded {wrong.key} test_own: 8 is not 7" in capsys.readouterr().out
