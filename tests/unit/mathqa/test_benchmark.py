"""Null baselines, predictions from files, and the report of an evaluation."""

import json

import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.text.items import LAYERS
from skyloom.mathqa.benchmark import Graded, Item, index_of, leaks_by_level, nulls, numbers_in
from skyloom.mathqa.evals import world
from skyloom.mathqa.reading import read_examples, read_predictions
from skyloom.mathqa.verify.grading import grade


def item(number, question, answer, level=None):
    return Item(id=f"t/{number}", question=question, answer=answer, level=level, subject="s")


ITEMS = (
    item(0, "2 and 3 make?", "5", 1),
    item(1, "10 minus 5?", "5", 1),
    item(2, "Of 4, 9 and 1: the greatest?", "9", 2),
)


def test_nulls_know_nothing_but_numbers():
    told = {each.name: each.value for each in nulls(ITEMS)}
    assert told["always 5"] == pytest.approx(2 / 3)
    assert told["largest number"] == pytest.approx(1 / 3)
    assert told["last number"] == pytest.approx(1 / 3)
    assert told["sum of all numbers"] == pytest.approx(1 / 3)
    assert nulls(ITEMS)[0].name == "always 5"
    assert nulls((item(0, "No number at all?", "x"),))[0].value == 1.0


def test_numbers_are_read_with_thousands_and_decimals():
    assert numbers_in("1,234 dogs, 2.5 m, v2 and x3") == [1234, 2.5]


def write(tmp_path, rows):
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_predictions_are_joined_by_id_by_question_or_by_order(tmp_path):
    by_id = [{"id": f"t/{k}", "output": f"o{k}"} for k in (2, 0, 1)]
    assert read_predictions(write(tmp_path, by_id), ITEMS) == ["o0", "o1", "o2"]
    by_text = [{"question": each.question.upper(), "response": each.id} for each in reversed(ITEMS)]
    assert read_predictions(write(tmp_path, by_text), ITEMS) == ["t/0", "t/1", "t/2"]
    assert read_predictions(write(tmp_path, [{"said": k} for k in "abc"]), ITEMS, "said") == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"output": "a"}], "1 rows without id or question for 3 items"),
        ([{"id": "t/0", "output": "a"}], "no output for 2 of 3 items, first t/1"),
        ([{"id": "t/0", "output": "a"}] * 2, "row 2: question: stands twice"),
        ([{"id": "t/0", "said": "a"}], "row 1: output: none of"),
        ([{"id": "t/0", "output": 3}], "row 1: output: expected text"),
        ([{"id": "t/0", "output": "a"}, {"output": "b"}], "row 2: question: missing"),
    ],
)
def test_predictions_that_do_not_fit_are_told(tmp_path, rows, told):
    with pytest.raises(BadInput, match=told):
        read_predictions(write(tmp_path, rows), ITEMS)


def test_training_rows_from_a_file(tmp_path):
    good = {"query": "q", "response": "r"}
    rows, rejects = read_examples(write(tmp_path, [good, {"query": "q"}, {"question": "p", "solution": "s"}]))
    assert [(row["question"], row["response"]) for row in rows] == [("q", "r"), ("p", "s")]
    assert [(reject.row, reject.field) for reject in rejects] == [(2, "response")]
    with pytest.raises(BadInput, match="no usable row"):
        read_examples(write(tmp_path, [{"query": "q"}]))


def test_a_report_has_levels_nulls_and_every_output(tmp_path):
    from skyloom.core.metrics import read_evaluation, write_evaluation
    from skyloom.mathqa.evaluate import report_on, write_outputs

    outputs = ("2+3=5\nThe answer is 5", "The answer is 4", "")
    graded = [
        Graded(item=each, output=text, finished=True, verdict=grade(each.answer, text))
        for each, text in zip(ITEMS, outputs, strict=True)
    ]
    report = report_on("t", graded)
    assert report.evaluation.headline.value == pytest.approx(1 / 3)
    assert report.evaluation.headline.n == 3
    others = {each.name: each for each in report.evaluation.others}
    assert (others["level 1"].value, others["level 1"].n, others["level 2"].value) == (0.5, 2, 0.0)
    assert others["outputs without an answer"].value == pytest.approx(1 / 3)
    assert not report.evaluation.beats_null
    write_outputs(tmp_path / "o.jsonl", graded)
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert [row["equal"] for row in rows] == [True, False, False]
    write_evaluation(tmp_path, report.evaluation, report.tables, report.plots)
    assert read_evaluation(tmp_path) == report.evaluation


def test_leaks_by_level_count_items_not_rows():
    items = [
        Item(id=f"b/{k}", question=f"q{k}", answer="1", level=level, subject="s")
        for k, level in enumerate((1, 1, 2, None))
    ]
    hits = pl.DataFrame(
        {
            "contamination.ngram": [["b/0"], ["b/0"], [], None],
            "contamination.whole": [["b/2"], [], [], None],
            "contamination.masked": [["b/0"], ["b/1", "b/9"], [], None],
            "contamination.near": [[], [], [], None],
        },
        schema_overrides={f"contamination.{layer}": pl.List(pl.String) for layer in LAYERS},
    )
    table = leaks_by_level(items, hits, pl.Series([False, True, True, True]))
    assert table.columns == ("level", "items", *LAYERS, "any layer", "by rows kept")
    assert [row[:6] for row in table.rows] == [
        ("level 1", 2, 1, 0, 2, 0),
        ("level 2", 1, 0, 1, 0, 0),
        ("none", 1, 0, 0, 0, 0),
    ]
    assert [(row[6].value, row[7].value) for row in table.rows] == [(1, 1), (1, 0), (0, 0)]


def test_a_benchmark_that_is_empty_or_stands_twice_has_no_index():
    with pytest.raises(BadInput, match=r"evaluate\.benchmarks: no item"):
        index_of([], 30)
    with pytest.raises(BadInput, match=r"evaluate\.benchmarks: item t/1 stands twice"):
        index_of([*ITEMS, item(1, "Another question?", "2")], 30)


def test_a_limit_never_cuts_from_the_end():
    with pytest.raises(ValueError, match="limit=-1 must be 0 or more"):
        world.Config(limit=-1)
