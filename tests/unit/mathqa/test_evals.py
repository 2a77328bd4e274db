"""Benchmarks as plug-ins: every form of a file, what it is recognised by, and what is refused."""

import json
from dataclasses import fields

import polars as pl
import pytest

from skyloom.app import mathqa_work as work
from skyloom.core import registry
from skyloom.core.errors import BadInput
from skyloom.mathqa.benchmark import items_of, name_of, plain_name
from skyloom.mathqa.evals import aime, amc, asdiv, jsonl, math500, mawps, minerva_math

EVALS = registry.names("mathqa.evals")
MATH = {"problem": "P?", "level": 2, "subject": "Algebra", "solution": "$\\boxed{1}$", "answer": "1"}
ROWS = {
    "gsm8k": {"question": "A?", "answer": "1<<1=1>>\n#### 1,000"},
    "math": {"problem": "P?", "level": "Level 1", "type": "Algebra", "solution": "$\\boxed{1}$"},
    "math500": {**MATH, "unique_id": "test/algebra/2.json"},
    "amc": {"id": 0, "problem": "P?", "answer": 27.0, "url": "https://x/2023_AMC_12A_Problems/Problem_1"},
    "aime": {"id": 0, "problem": "P?", "solution": "So.", "answer": "073", "url": "https://x/2024_AIME_I/Problem_1"},
    "asdiv": {"body": "B.", "question": "Q?", "solution_type": "Addition", "answer": "9 (apples)", "formula": "7+2=9"},
    "mawps": {"input": "Q?", "target": 7.5, "type": "addsub"},
    "minerva_math": {"problem": "P?", "solution": "It is $\\boxed{1.6}$.", "type": "Astronomy"},
}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(data, benchmark=""):
    return work.Asked(data, "tiny", None, "", benchmark, 0)


@pytest.mark.parametrize("name", ROWS)
def test_a_file_is_known_by_its_first_row(tmp_path, name):
    config = work.benchmark_of(asked(write(tmp_path / "x.jsonl", ROWS[name])))
    assert registry.plugin_of(config).name == name


def test_every_benchmark_with_a_file_has_such_a_row():
    with_file = {
        name for name in EVALS if "path" in {f.name for f in fields(registry.load("mathqa.evals", name).Config)}
    }
    assert with_file - {"jsonl"} == set(ROWS)


@pytest.mark.parametrize("name", EVALS)
def test_an_example_solution_ends_as_training_rows_do(name):
    item, _ = registry.load("mathqa.evals", name).EXAMPLE
    assert not item.solution or item.solution.endswith(f"\nThe answer is {item.answer}")


@pytest.mark.parametrize("name", [n for n in EVALS if hasattr(registry.load("mathqa.evals", n), "EVALUATION_ONLY")])
def test_what_is_for_evaluation_only_has_no_source(name):
    assert name not in registry.names("mathqa.sources")
    assert registry.load("mathqa.evals", name).EVALUATION_ONLY.strip()


def test_asdiv_and_mawps_are_for_evaluation_only():
    assert all(hasattr(each, "EVALUATION_ONLY") for each in (asdiv, mawps))


def only(module, tmp_path, **fields):
    (item,) = items_of(module.Config(path=write(tmp_path / "x.jsonl", ROWS[module.NAME]), **fields))
    return item.question, item.answer, item.subject, item.solution


def test_rows_become_items(tmp_path):
    assert only(amc, tmp_path) == ("P?", "27", "AMC", "")
    assert only(aime, tmp_path) == ("P?", "73", "AIME", "So.\nThe answer is 73")
    assert only(asdiv, tmp_path) == ("B. Q?", "9", "Addition", "")
    assert only(mawps, tmp_path) == ("Q?", "7.5", "addsub", "")
    assert only(minerva_math, tmp_path)[1:3] == ("1.6", "Astronomy")
    gsm8k = registry.load("mathqa.evals", "gsm8k")
    assert only(gsm8k, tmp_path)[3] == "1\nThe answer is 1000"


def test_old_years_of_aime_have_capital_fields_and_zero_is_an_answer(tmp_path):
    rows = [
        {"ID": "1983-AIME-1", "Year": 1983, "Question": f"P{k}?", "Answer": answer}
        for k, answer in enumerate(("000", 60))
    ]
    path = write(tmp_path / "x.jsonl", *rows)
    assert [item.answer for item in items_of(aime.Config(path=path))] == ["0", "60"]
    assert isinstance(work.benchmark_of(asked(path)), aime.Config)


@pytest.mark.parametrize(
    ("name", "row", "told"),
    [
        ("amc", {"problem": "P?", "answer": None}, "row 1: answer: missing"),
        ("aime", {"problem": "P?"}, "row 1: answer: missing"),
        ("asdiv", {**ROWS["asdiv"], "answer": " "}, "row 1: answer: missing"),
        ("mawps", {"input": "Q?", "target": [1]}, "row 1: target: expected text or a number"),
        ("minerva_math", {"problem": "P?", "solution": "none", "type": "x"}, "row 1: solution: no balanced"),
        ("jsonl", {"question": "P?"}, "row 1: answer: missing"),
    ],
)
def test_a_row_that_cannot_be_used_is_told(tmp_path, name, row, told):
    module = registry.load("mathqa.evals", name)
    with pytest.raises(BadInput, match=told):
        module.items(module.Config(path=write(tmp_path / "x.jsonl", row)))


def test_math500_in_three_forms(tmp_path):
    listed = [{**MATH, "problem": f"P{k}?", "unique_id": f"test/algebra/{k}.json"} for k in range(500)]
    plain = items_of(math500.Config(path=write(tmp_path / "test.jsonl", *listed)))
    assert (len(plain), plain[0].level, plain[0].solution) == (500, 2, "$\\boxed{1}$\nThe answer is 1")
    chats = [
        {
            "data_source": "x/MATH-500",
            "prompt": [{"role": "user", "content": f"Think and put it within \\boxed{{}}.\n\nP{k}?"}],
            "reward_model": {"ground_truth": "1", "style": "rule"},
        }
        for k in range(500)
    ]
    pl.DataFrame(chats).write_parquet(tmp_path / "test.parquet")
    assert isinstance(work.benchmark_of(asked(tmp_path / "test.parquet")), math500.Config)
    chat = items_of(math500.Config(path=tmp_path / "test.parquet"))
    assert [item.question for item in chat] == [item.question for item in plain]
    whole = [{**MATH, "problem": f"P{k}?", "id": f"test/algebra/{k}"} for k in range(600)]
    ids = tmp_path / "ids.json"
    ids.write_text(json.dumps(["test/algebra/7", "/test/algebra/3.json"]))
    chosen = items_of(math500.Config(path=write(tmp_path / "all.jsonl", *whole), ids=ids))
    assert [(item.id, item.question) for item in chosen] == [("math500/0", "P3?"), ("math500/1", "P7?")]
    with pytest.raises(BadInput, match="600 problems, MATH-500 has 500"):
        items_of(math500.Config(path=tmp_path / "all.jsonl"))
    ids.write_text('["test/geometry/1"]')
    with pytest.raises(BadInput, match="0 of the 1 ids"):
        items_of(math500.Config(path=tmp_path / "all.jsonl", ids=ids))
    ids.write_text('{"a": 1}')
    with pytest.raises(BadInput, match="expected a list of ids"):
        items_of(math500.Config(path=tmp_path / "all.jsonl", ids=ids))


def test_any_file_by_named_fields(tmp_path):
    path = write(tmp_path / "x.jsonl", {"ask": "Q?", "meta": {"gold": 5}, "hard": 3, "work": "Two and three."})
    config = jsonl.Config(path=path, name="mine", question="ask", answer="meta.gold", level="hard", solution="work")
    (item,) = items_of(config)
    assert (item.id, item.question, item.answer, item.level) == ("mine/0", "Q?", "5", 3)
    assert item.solution == "Two and three.\nThe answer is 5"
    assert (plain_name(config), name_of(jsonl.Config(path=path, limit=3))) == ("mine", "jsonl (first 3)")
    assert isinstance(work.benchmark_of(asked(path, "jsonl")), jsonl.Config)
    with pytest.raises(ValueError, match="name"):
        jsonl.Config(name="../x")
    with pytest.raises(BadInput, match="path is not set"):
        items_of(jsonl.Config())


def test_an_empty_benchmark_and_equal_ids_are_refused(tmp_path, plugin_dir):
    with pytest.raises(BadInput, match="no rows in"):
        items_of(jsonl.Config(path=write(tmp_path / "x.jsonl")))
    (plugin_dir / "mathqa" / "evals").mkdir(parents=True)
    (plugin_dir / "mathqa" / "evals" / "twice.py").write_text(TWICE)
    with pytest.raises(BadInput, match="1 ids stand twice, first 'a'"):
        items_of(registry.load("mathqa.evals", "twice").Config())
    with pytest.raises(BadInput, match="twice: an empty benchmark"):
        items_of(registry.load("mathqa.evals", "twice").Config(rows=0))


TWICE = '''"""Twice: a benchmark that a test dropped in, with equal ids."""
from dataclasses import dataclass
from skyloom.mathqa.benchmark import EvalConfig, Item
NAME = "twice"

@dataclass(frozen=True, kw_only=True, slots=True)
class Config(EvalConfig):
    rows: int = 2

def items(config):
    return tuple(Item(id="a", question="q", answer="1", level=None, subject="") for _ in range(config.rows))
'''
