"""What the commands refuse, and how they tell which benchmark a file is."""

import json
from pathlib import Path

import pytest

from skyloom.app import mathqa_work as work
from skyloom.core import registry
from skyloom.core.config import override
from skyloom.core.errors import BadInput
from skyloom.mathqa.evals import gsm8k, math, world
from skyloom.recipes.mathqa import skywork_math

GSM8K = {"question": "A?", "answer": "1\n#### 1"}
MATH = {"problem": "P", "level": "Level 1", "type": "Algebra", "solution": "$\\boxed{1}$"}


def write(path: Path, *rows) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(data=None, **fields):
    return work.Asked(
        **{
            "data": data,
            "model": "tiny",
            "predictions": None,
            "output_field": "",
            "benchmark": "",
            "limit": 0,
            **fields,
        }
    )


def test_a_benchmark_is_told_from_its_first_row(tmp_path):
    assert isinstance(work.benchmark_of(asked()), world.Config)
    told = work.benchmark_of(asked(write(tmp_path / "a.jsonl", GSM8K), limit=3))
    assert (type(told), told.path, told.limit) == (gsm8k.Config, tmp_path / "a.jsonl", 3)
    assert isinstance(work.benchmark_of(asked(write(tmp_path / "b.jsonl", MATH))), math.Config)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": ""}, "either --model or --predictions"),
        ({"predictions": Path("p.jsonl")}, "either --model or --predictions"),
        ({"benchmark": "gsm8k"}, "give its file with --data"),
        ({"data": Path("absent.jsonl")}, "no such file"),
        (
            {"data": Path("absent.jsonl"), "benchmark": "nope"},
            "unknown plug-in 'nope'.*known: aime, amc, asdiv, gsm8k, .*world",
        ),
    ],
)
def test_what_eval_cannot_do_is_told(tmp_path, fields, told):
    with pytest.raises(BadInput, match=told):
        work.evaluate(asked(**fields), [], tmp_path / "out")


def test_a_file_of_another_kind_is_told_by_its_fields(tmp_path):
    with pytest.raises(BadInput, match="row 1: fields text: which benchmark"):
        work.benchmark_of(asked(write(tmp_path / "x.jsonl", {"text": "a"})))
    with pytest.raises(BadInput, match="row 2: answer: no last line"):
        work.evaluate(
            asked(write(tmp_path / "y.jsonl", GSM8K, {"question": "B?", "answer": "1"})), [], tmp_path / "out"
        )


def test_synthesis_needs_a_known_source_with_its_file_and_known_operators():
    for fields, told in (
        ((None, "gsm8k", [], 1, "", False, []), "give its file with --seeds"),
        ((None, "nope", [], 1, "", False, []), "unknown plug-in 'nope'"),
        ((None, "world", ["nope"], 1, "", False, []), "unknown plug-in 'nope'"),
        ((None, "world", [], 1, "", False, ["synthesize.teacher.urll=x"]), "unknown key 'urll'"),
    ):
        with pytest.raises(BadInput, match=told):
            work.synthesis_config(*fields)
    config = work.synthesis_config(None, "world", [], 2, "http://x/v1", False, ["collect.world.rows=5"])
    (one,) = config.synthesize.passes
    assert [each.samples for each in one.augment] == [2] * len(registry.names("mathqa.augment"))
    assert config.collect[0].rows == 5
    recipe = skywork_math.smoke()
    shorter = override(recipe, ["synthesize.passes.hard.rows=7", "synthesize.passes.seed.augment.evol.rounds=4"])
    assert [each.rows for each in shorter.synthesize.passes] == [7_200, 600, 7]
    assert shorter.synthesize.passes[0].augment[4].rounds == 4
    assert config.synthesize.teacher.url == "http://x/v1"


def test_verify_wants_a_finished_synthesis(tmp_path):
    with pytest.raises(BadInput, match="not a run directory"):
        work.verify(tmp_path)


def test_a_served_model_is_asked_by_its_address(tmp_path):
    from skyloom.core.llm.simulated import Faults, SimulatedTeacher

    rows = [{"q": f"What is {k} and 1?", "a": {"n": k + 1}} for k in range(4)]
    data = write(tmp_path / "x.jsonl", *rows)
    named = ["benchmarks.jsonl.question=q", "benchmarks.jsonl.answer=a.n", "server.in_flight=2", "distractors=[1]"]
    with SimulatedTeacher(lambda messages, _: f"The answer is {messages[-1].content[8]}1", Faults(), seed=0) as server:
        told = asked(data, model="m", url=server.url, benchmark="jsonl")
        folder, evaluation = work.evaluate(told, named, tmp_path / "out")
        calls = server.counts["calls"]
        assert work.evaluate(told, named, tmp_path / "out") == (folder, evaluation)
        assert server.counts["calls"] == calls == 8
    assert (evaluation.headline.n, evaluation.headline.value) == (4, 0.25)  # 01 is 1
    assert (tmp_path / "out" / "requests.sqlite").is_file()
    assert (folder / "outputs-jsonl.html").is_file()
    with pytest.raises(BadInput, match="--url names a server; give the name of its model"):
        work.evaluate(asked(data, model="", url="http://x/v1", predictions=data), [], tmp_path / "no")
