"""Adapters: what each reads, what it rejects by name, and which split a file belongs to."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyloom.core.errors import BadInput, BadRow
from skyloom.core.ledger.rows import collect
from skyloom.core.records import Raw, Reject
from skyloom.mathqa.evals import world as benchmark
from skyloom.mathqa.records import Problem
from skyloom.mathqa.sources import (
    agieval,
    dapo,
    gsm8k,
    jeebench,
    jsonl,
    math_hendrycks,
    olympiadbench,
    scibench,
    world,
)
from skyloom.mathqa.verify.extraction import last_boxed


def write(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_gsm8k_strips_calculator_marks_and_takes_the_answer():
    raw = {"question": " A? ", "answer": "1+1=<<1+1=2>>2\n2*2=<<2*2=4>>4\n#### 1,234"}
    assert gsm8k.to_record(raw) == Problem(
        question="A?", answer="1,234", solution="1+1=2\n2*2=4\nThe answer is 1,234", level=None, subject="Word problems"
    )


@pytest.mark.parametrize("answer", ["no mark", "working\n####", "working\n####  \n", "#### 4\nand more"])
def test_gsm8k_rejects_an_answer_without_its_last_line(answer):
    with pytest.raises(BadRow, match="answer"):
        gsm8k.to_record({"question": "A?", "answer": answer})


def test_a_gsm8k_test_file_is_refused_for_training_without_as_train(tmp_path):
    row = {"question": "A?", "answer": "1\n#### 1"}
    test, train = write(tmp_path / "a" / "test.jsonl", [row]), write(tmp_path / "a" / "train.jsonl", [row])
    with pytest.raises(BadInput, match="as-train"):
        collect([gsm8k.Config(path=test)], Problem, tmp_path / "out")
    (report,) = collect([gsm8k.Config(path=test, as_train=True)], Problem, tmp_path / "meant")
    assert (report.split, report.as_train, report.rows) == ("test", True, 1)
    (report,) = collect([gsm8k.Config(path=train)], Problem, tmp_path / "train")
    assert report.split == "train"
    assert gsm8k.split(gsm8k.Config(path=tmp_path / "a")) == "test", "a folder with a test file in it is no train set"


def test_a_bad_row_is_a_counted_reject_that_names_its_field(tmp_path):
    good = {"question": "A?", "answer": "1\n#### 1"}
    path = write(tmp_path / "train.jsonl", [good, {"question": "", "answer": "x"}, {"question": "B?"}, good])
    (report,) = collect([gsm8k.Config(path=path)], Problem, tmp_path / "out")
    assert (report.rows, report.rejected) == (2, 2)
    assert report.reject_reasons == {"answer: missing": 1, "question: empty text": 1}


def test_math_reads_json_lines_and_a_folder_of_problems(tmp_path):
    raw = {"problem": "P", "level": "Level 3", "type": "Algebra", "solution": "So $\\boxed{\\frac{1}{2}}$."}
    record = math_hendrycks.to_record(raw)
    assert (record.answer, record.level) == ("\\frac{1}{2}", 3)
    for number in range(3):
        write(tmp_path / "MATH" / "train" / "algebra" / f"{number}.json", [raw])
    config = math_hendrycks.Config(path=tmp_path / "MATH" / "train")
    assert math_hendrycks.split(config) == "train"
    assert len([row for row in math_hendrycks.rows(config, 0) if isinstance(row, Raw)]) == 3
    write(tmp_path / "MATH" / "test" / "algebra" / "0.json", [raw])
    assert math_hendrycks.split(math_hendrycks.Config(path=tmp_path / "MATH" / "test")) == "test"


def test_math_takes_an_unknown_level_and_rejects_others_by_name():
    raw = {"problem": "P", "level": "Level ?", "type": "Algebra", "solution": "$\\boxed{1}$"}
    assert math_hendrycks.to_record(raw).level is None
    for change, field in (({"level": "Level 9"}, "level"), ({"solution": "so 1"}, "solution"), ({"type": 3}, "type")):
        with pytest.raises(BadRow) as caught:
            math_hendrycks.to_record({**raw, **change})
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("solution", "answer"),
    [
        ("$\\boxed{1}$ then $\\boxed{\\frac{1}{2}}$", "\\frac{1}{2}"),
        ("\\fbox{x}", "x"),
        ("$\\boxed 5$.", "5"),
        ("$\\boxed{\\left\\{1,2\\right\\}}$", "\\left\\{1,2\\right\\}"),
        ("$\\boxed{1", None),
        ("none", None),
        ("$\\boxed{ }$", None),
        ("\\boxedness{3}", None),
    ],
)
def test_the_last_balanced_box(solution, answer):
    assert last_boxed(solution) == answer


def test_the_world_plants_copies_that_only_the_truth_tells(tmp_path):
    config = world.Config(rows=400, leak=0.25, benchmark=benchmark.Config(rows=50))
    raws = list(world.rows(config, 0))
    leaked = [raw.data for raw in raws if world.truth(raw.data)["leaked"]]
    assert 60 < len(leaked) < 140
    assert all(not hasattr(world.to_record(raw), "leaked") for raw in leaked)
    questions = {item.question for item in benchmark.items(benchmark.Config(rows=50))}
    assert {raw["problem"] for raw in leaked} <= questions
    assert not questions & {raw.data["problem"] for raw in raws if not raw.data["leaked"]}


def test_the_world_judges_answers_and_drift():
    told = world.judge_instance("Solve x + 3 = 7 for x.", "4", "4")
    assert told.items() >= {"answer": "4", "wrong": False, "drifted": False, "unsound": False}.items()
    assert world.judge_instance("Solve x + 3 = 8 for x.", "5", "4")["drifted"] is True
    assert world.judge_instance("Solve x + 3 = 7 for x.", "5", "4")["wrong"] is True
    none = world.judge_instance("Tom has 3 apples and loses 5 of them. How many apples are left?", "2", None)
    alien = world.judge_instance("Who wrote this?", "me", None)
    assert [each["ill_posed"] for each in (told, none, alien)] == [False, True, False], (
        "what nobody can read is not called so"
    )


def test_a_world_that_cannot_be_is_refused():
    for wrong in ({"rows": 0}, {"leak": 2.0}):
        with pytest.raises(ValueError, match="rows"):
            world.Config(**wrong)


def put(path: Path, rows) -> Path:
    """A .json list or a Parquet table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows))
    return path


def data_of(module, path, **settings):
    return [raw for raw in module.rows(module.Config(path=path, **settings), 0) if isinstance(raw, Raw)]


def reasons_of(module, path, **settings):
    return [raw.reason for raw in module.rows(module.Config(path=path, **settings), 0) if isinstance(raw, Reject)]


READERS = (agieval, dapo, gsm8k, jeebench, jsonl, math_hendrycks, olympiadbench, scibench)
SCALAR = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=8)
JUNK = st.recursive(
    SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
WORDS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=12)


@pytest.mark.parametrize("module", READERS, ids=lambda module: module.__name__.rpartition(".")[2])
@given(data=st.data())
def test_a_row_with_junk_in_it_is_read_or_refused_by_field(module, data):
    raw = dict(module.EXAMPLE[0])
    names = data.draw(st.lists(st.sampled_from(list(raw)), unique=True))
    raw |= {name: data.draw(JUNK) for name in names}
    for name in data.draw(st.lists(st.sampled_from(list(raw)), unique=True, max_size=2)):
        del raw[name]
    try:
        record = module.to_record(raw)
    except BadRow as error:
        assert error.field
        assert error.reason
    else:
        assert record.question.strip() == record.question != ""
        assert record.answer.strip() == record.answer != ""
        assert record.solution.endswith(f"The answer is {record.answer}")


@given(WORDS, WORDS, WORDS, st.sampled_from("ABCD"), st.integers(1, 5))
def test_every_reader_gives_back_what_was_put_in(question, answer, working, letter, level):
    solved = f"{working}\nThe answer is {answer}"
    boxed = f"{working} $\\boxed{{{answer}}}$"
    math = {"problem": question, "level": f"Level {level}", "type": "Algebra", "solution": boxed}
    got = math_hendrycks.to_record(math)
    assert (got.question, got.answer, got.level, got.subject) == (question, answer, level, "Algebra")
    with_answer = {**math, "level": level, "subject": "Algebra", "answer": answer, "unique_id": "train/1"}
    del with_answer["type"]
    assert math_hendrycks.to_record(with_answer) == got
    metamath = {"instruction": question, "output": boxed, "type": "Algebra", "idx": 3}
    assert math_hendrycks.to_record(metamath) == math_hendrycks.to_record({**math, "level": "Level ?"})
    for module, raw, expected in (
        (dapo, {"prompt": question, "solution": answer}, answer),
        (jsonl, {"question": question, "answer": answer, "solution": working, "level": level}, answer),
        (agieval, {"question": question, "answer": answer, "other": {"solution": working}}, answer),
        (agieval, {"question": question, "options": ["x", "y"], "label": letter, "other": None}, letter),
        (jeebench, {"question": question, "gold": answer, "type": "Integer", "subject": "math"}, answer),
        (scibench, {"problem_text": f" {question}\r\n", "answer_number": f" {answer}", "solution": working}, answer),
        (olympiadbench, {"question": question, "final_answer": [f"${answer}$."], "solution": [working]}, answer),
    ):
        got = module.to_record(raw)
        assert got.question.partition("\n")[0] == question
        assert got.answer == expected
        assert got.solution in (solved, f"The answer is {expected}", f"{working}\nThe answer is {expected}")


@pytest.mark.parametrize(
    "text", ["", "  \r\n", "![a](b.png)", "<image_1>", "[asy]\ndraw(x);\n[/asy]", "[asy] never closed", "![](a) ."]
)
def test_an_empty_problem_or_a_picture_alone_is_a_reject(text):
    fields = {
        math_hendrycks: "problem",
        dapo: "prompt",
        jeebench: "question",
        olympiadbench: "question",
        scibench: "problem_text",
        jsonl: "question",
    }
    for module, field in fields.items():
        raw = dict(module.EXAMPLE[0]) | {field: text, "context": None}
        with pytest.raises(BadRow) as caught:
            module.to_record(raw)
        assert caught.value.field == field
        assert caught.value.reason in ("empty text", "only a picture")


def test_a_git_lfs_pointer_and_a_part_of_math_train_are_told(tmp_path, caplog):
    pointer = tmp_path / "train.jsonl"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    for module in (math_hendrycks, dapo, jsonl):
        with pytest.raises(BadInput, match="Git LFS pointer"):
            list(module.rows(module.Config(path=pointer), 0))
    raw = math_hendrycks.EXAMPLE[0]
    list(math_hendrycks.rows(math_hendrycks.Config(path=write(tmp_path / "b" / "train.jsonl", [raw] * 60)), 0))
    assert "60 rows; MATH train has 7500" in caplog.text
    caplog.clear()
    list(math_hendrycks.rows(math_hendrycks.Config(path=write(tmp_path / "b" / "test.jsonl", [raw] * 60)), 0))
    assert not caplog.text


def test_a_train_file_with_test_items_in_it_is_a_test_split(tmp_path):
    raw = dict(math_hendrycks.EXAMPLE[0])
    mixed = [{**raw, "unique_id": "train/algebra/1.json"}, {**raw, "unique_id": "test/algebra/1.json"}]
    path = write(tmp_path / "train.jsonl", mixed)
    assert math_hendrycks.split(math_hendrycks.Config(path=path)) == "test"
    with pytest.raises(BadInput, match="as-train"):
        collect([math_hendrycks.Config(path=path)], Problem, tmp_path / "out")


@pytest.mark.parametrize("module", [olympiadbench, agieval, scibench, jeebench])
def test_the_four_benchmarks_are_test_splits_and_need_a_path(module, tmp_path):
    path = put(tmp_path / "train.json", [module.EXAMPLE[0]])
    with pytest.raises(BadInput, match="as-train"):
        collect([module.Config(path=path)], Problem, tmp_path / "out")
    (report,) = collect([module.Config(path=path, as_train=True)], Problem, tmp_path / "meant")
    assert (report.rows, report.split) == (1, "test")
    with pytest.raises(BadInput, match="path is not set"):
        module.inputs(module.Config())


def test_olympiadbench_leaves_out_proofs_pictures_physics_and_chinese_by_name(tmp_path):
    raw = dict(olympiadbench.EXAMPLE[0])
    for name in (
        "OE_TO_maths_en_COMP",
        "TP_TO_maths_en_COMP",
        "OE_MM_maths_en_COMP",
        "OE_TO_physics_en_COMP",
        "OE_TO_maths_zh_CEE",
    ):
        put(tmp_path / f"{name}.json", [raw])
    assert len(data_of(olympiadbench, tmp_path)) == 1
    expected = ["needs a picture", "Chinese", "physics", "a proof"]
    assert reasons_of(olympiadbench, tmp_path) == expected
    assert reasons_of(olympiadbench, tmp_path, physics=True, chinese=True) == ["needs a picture", "a proof"]
    hub = [
        {**raw, "question_type": "Theorem proof"},
        {**raw, "modality": "Multimodal"},
        {**raw, "subject": "Physics"},
        {**raw, "language": "Chinese"},
    ]
    path = put(tmp_path / "hub" / "data.json", [*hub, raw])
    assert sorted(reasons_of(olympiadbench, path)) == sorted(expected)
    (report,) = collect([olympiadbench.Config(path=path, as_train=True)], Problem, tmp_path / "out")
    assert (report.rows, report.rejected) == (1, 4), "what the set holds by design is not a lost row"


def test_olympiadbench_answers_and_what_cannot_be_graded():
    raw = dict(olympiadbench.EXAMPLE[0])
    assert olympiadbench.to_record({**raw, "final_answer": ["$1$", " $2$."]}).answer == "1, 2"
    got = olympiadbench.to_record({**raw, "context": "All numbers are real.", "unit": "$\\mathrm{cm}$"})
    assert got.question.startswith("All numbers are real.\n\nFind all")
    assert got.question.endswith("Give the answer in \\mathrm{cm}, as a number alone.")
    for change, field in (
        ({"question": "See <img_3362> and find $x$."}, "question"),
        ({"image_1": {"bytes": "x"}}, "question"),
        ({"answer_type": "Need_human_evaluate"}, "answer_type"),
        ({"error": "1e-1"}, "error"),
        ({"final_answer": []}, "final_answer"),
        ({"final_answer": ["$ $"]}, "final_answer"),
        ({"final_answer": [["1"]]}, "final_answer"),
    ):
        with pytest.raises(BadRow) as caught:
            olympiadbench.to_record({**raw, **change})
        assert caught.value.field == field


def test_agieval_refuses_math_test_items_by_name_and_by_content_even_as_train(tmp_path):
    item = {"passage": None, "question": "P", "options": None, "label": None, "answer": "4"}
    item |= {"other": {"solution": "S", "level": 3, "type": "Algebra"}}
    named = write(tmp_path / "v1" / "math.jsonl", [{**item, "other": None}])
    renamed = write(tmp_path / "other" / "seeds.jsonl", [agieval.EXAMPLE[0], item])
    for path in (named, renamed):
        for as_train in (False, True):
            with pytest.raises(BadInput, match="MATH test items|as-train"):
                collect([agieval.Config(path=path, as_train=as_train)], Problem, tmp_path / f"{path.stem}{as_train}")
        with pytest.raises(BadInput, match="MATH test items"):
            list(agieval.rows(agieval.Config(path=path, as_train=True), 0))
    write(tmp_path / "v1" / "sat-math.jsonl", [agieval.EXAMPLE[0]])
    write(tmp_path / "v1" / "lsat-ar.jsonl", [agieval.EXAMPLE[0]] * 5)
    assert [path.name for path in agieval.inputs(agieval.Config(path=tmp_path / "v1"))] == ["sat-math.jsonl"]
    with pytest.raises(BadInput, match="holds none of"):
        agieval.inputs(agieval.Config(path=tmp_path / "other"))


def test_agieval_options_letters_and_cloze():
    raw = dict(agieval.EXAMPLE[0])
    several = agieval.to_record({**raw, "label": ["A", "B"]})
    assert several.answer == "A, B"
    cloze = agieval.to_record({"passage": "", "question": "Q?", "options": None, "answer": " $\\frac{1}{2}$ "})
    assert (cloze.question, cloze.answer) == ("Q?", "\\frac{1}{2}")
    assert agieval.to_record({**raw, "passage": "Read this."}).question.startswith("Read this.\nWhat")
    for change in ({"label": None}, {"options": [1]}, {"label": [None]}):
        with pytest.raises(BadRow):
            agieval.to_record({**raw, **change})


def test_scibench_asks_for_the_unit_and_leaves_figures_out(tmp_path):
    raw = dict(scibench.EXAMPLE[0])
    assert scibench.to_record({**raw, "unit": " "}).question.endswith("How far is it?")
    exact = {**raw, "answer_latex": " $\\frac{1}{17}$", "answer_number": "0.0588"}
    assert scibench.to_record(exact).answer == "\\frac{1}{17}"
    assert scibench.to_record({**exact, "answer_latex": " "}).answer == "0.0588"
    for text in ("As shown in the figure, find $x$.", "Use Figure 3.2 to find $x$.", "See Fig. 2 for $x$."):
        with pytest.raises(BadRow, match="needs a figure"):
            scibench.to_record({**raw, "problem_text": text})
    assert scibench.to_record({**raw, "problem_text": "Correct to two significant figures? No."}).answer == "7"
    for name in ("calculus", "stat_sol", "atkins"):
        put(tmp_path / f"{name}.json", [raw])
    assert [path.stem for path in scibench.inputs(scibench.Config(path=tmp_path))] == ["calculus", "stat_sol"]
    assert len(scibench.inputs(scibench.Config(path=tmp_path, science=True))) == 3


def test_jeebench_reads_mathematics_unless_told_otherwise(tmp_path):
    raw = dict(jeebench.EXAMPLE[0])
    path = put(tmp_path / "dataset.json", [raw, {**raw, "subject": "phy"}, {**raw, "type": "Essay"}])
    (report,) = collect([jeebench.Config(path=path, as_train=True)], Problem, tmp_path / "out", max_reject_share=0.6)
    assert report.reject_reasons == {
        "subject: not mathematics": 1,
        "type: expected one of MCQ, MCQ(multiple), Integer, Numeric": 1,
    }
    assert len(data_of(jeebench, path, science=True)) == 3


def dapo_row(text, answer):
    content = dapo.EXAMPLE[0]["prompt"][0]["content"].replace("What is $2+2$?", text)
    return {
        **dapo.EXAMPLE[0],
        "prompt": [{"role": "user", "content": content}],
        "reward_model": {"ground_truth": answer},
    }


def test_dapo_keeps_each_prompt_once_and_drops_prompts_with_two_answers(tmp_path, caplog):
    rows = [dapo_row(f"Find {k}.", str(k)) for k in range(5)] * 4 + [dapo_row("Find 2.", "3"), dapo_row("Find 9.", "9")]
    path = put(tmp_path / "train.parquet", rows)
    (report,) = collect([dapo.Config(path=path)], Problem, tmp_path / "out")
    assert (report.rows, report.reject_reasons) == (5, {f"reward_model.ground_truth: {dapo.CONFLICT}": 1})
    assert "6 different prompts; 16 copies left out" in caplog.text
    questions = [dapo.to_record(raw.data).question for raw in data_of(dapo, path)]
    assert questions == ["Find 0.", "Find 1.", "Find 3.", "Find 4.", "Find 9."]
    assert dapo.split(dapo.Config(path=put(tmp_path / "test.parquet", rows))) == "test"


def test_dapo_reads_the_processed_table_and_names_what_is_missing(tmp_path):
    processed = {"prompt": "Find 1.", "solution": "1", "source_prompt": [{"role": "user", "content": "x"}]}
    assert dapo.to_record(processed).answer == "1"
    path = put(tmp_path / "train.json", [processed, {"prompt": "Find 2."}, {"prompt": [], "solution": "1"}, 3])
    assert reasons_of(dapo, path) == ["missing or empty", "no turn of the user", "expected an object, got int"]


def test_jsonl_finds_usual_fields_and_takes_named_nested_ones(tmp_path):
    usual = [
        {"problem": "P?", "solution": "so $\\boxed{7}$", "level": "Level 2", "type": "Algebra"},
        {"query": "P?", "response": "Well.\nThe answer is 7", "level": 2, "subject": "Algebra"},
        {"question": "P?", "answer": "1+6=7\n#### 7", "level": None},
        {"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "P?"}], "answer": 7.0},
    ]
    path = write(tmp_path / "train.jsonl", usual)
    got = [jsonl.to_record(raw.data) for raw in data_of(jsonl, path)]
    assert {(each.question, each.answer) for each in got} == {("P?", "7")}
    assert [each.level for each in got] == [2, 2, None, None]
    assert got[1].solution == "Well.\nThe answer is 7"
    nested = [
        {"meta": {"gold": ["4", "5"]}, "turns": [{"text": "P?"}], "choices": {"A": "4", "B": "5"}, "answer": "no"}
    ]
    path = write(tmp_path / "nested.jsonl", nested)
    (raw,) = data_of(jsonl, path, question="turns.0.text", answer="meta.gold")
    assert jsonl.to_record(raw.data) == Problem(
        question="P?\n(A) 4\n(B) 5", answer="4, 5", solution="The answer is 4, 5", level=None, subject=""
    )
    (raw,) = data_of(jsonl, path, question="turns.0.text", answer="meta.none")
    with pytest.raises(BadRow, match="answer"):
        jsonl.to_record(raw.data)


def test_jsonl_rejects_by_field_and_knows_test_files(tmp_path):
    for raw, field in (
        ({"answer": "1"}, "question"),
        ({"question": "Q?"}, "answer"),
        ({"question": "Q?", "answer": True}, "answer"),
        ({"question": "Q?", "answer": "1", "level": 9}, "level"),
        ({"question": "Q?", "answer": "1", "options": "x"}, "options"),
        ({"question": [], "answer": "1"}, "question"),
    ):
        with pytest.raises(BadRow) as caught:
            jsonl.to_record(raw)
        assert caught.value.field == field
    row = [{"question": "Q?", "answer": "1"}]
    for name, expected in (("latest.jsonl", "train"), ("my_test.jsonl", "test"), ("dev/a.jsonl", "test")):
        assert jsonl.split(jsonl.Config(path=write(tmp_path / name, row))) == expected
