"""Benchmark files are recognised by their columns, and a wrong one is named."""

import gzip
import json

import polars as pl
import pytest

from skyloom.core.errors import BadInput
from skyloom.core.text.ngrams import Rule
from skyloom.reward.evals._prompts import FORMATS, index_of, prompts_of

TURNS = [
    {"role": "user", "content": "first question"},
    {"role": "assistant", "content": "an answer"},
    {"role": "user", "content": "second question"},
]
ROWS = {
    "RewardBench": {"id": 7, "subset": "donotanswer", "prompt": "P", "chosen": "a", "rejected": "b"},
    "RewardBench 2": {
        "id": "7", "subset": "Math", "prompt": "P", "chosen": ["a"], "rejected": ["b", "c", "d"], "num_correct": 1,
    },
    "RM-Bench": {"id": 7, "domain": "chat", "prompt": "P", "chosen": ["a"] * 3, "rejected": ["b"] * 3},
    "JudgeBench": {"pair_id": "7", "question": "P", "response_A": "a", "response_B": "b", "label": "A>B"},
    "LLMBar": {"input": "P", "output_1": "a", "output_2": "b", "label": 1},
    "RMB": {"pair_uid": "7", "conversation_input": [{"role": "user", "content": "P"}], "category_path": "x"},
    "PPE": {"question_id": "7", "prompt": "P", "response_1": "a", "response_2": "b"},
    "AlpacaEval": {"instruction": "P", "output_1": "a", "output_2": "b"},
}  # fmt: skip


@pytest.mark.parametrize("name", [each.name for each in FORMATS])
def test_every_known_benchmark_gives_its_prompt(name, tmp_path):
    file = tmp_path / "bench.jsonl"
    file.write_text(json.dumps(ROWS[name]) + "\n")
    ((found, text),) = prompts_of(file)
    assert text == "P"
    assert found == ("bench:1" if name in ("LLMBar", "AlpacaEval") else "bench:7")


def test_every_user_turn_is_an_item_of_its_own(tmp_path):
    file = tmp_path / "bench.parquet"
    pl.DataFrame([{"id": "x", "subset": "s", "prompt": TURNS, "chosen": "a", "rejected": "b"}]).write_parquet(file)
    assert [tuple(each) for each in prompts_of(file)] == [
        ("bench:x[0]", "first question"),
        ("bench:x[1]", "second question"),
    ]


def test_any_file_with_a_prompt_column_and_a_folder_with_gz_files_do(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"problem": "one"}\n{"problem": "two"}\n')
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"messages": [{"from": "human", "value": "three"}]}\n'))
    assert [each.text for each in prompts_of(tmp_path)] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"text": "x", "answer": "y"}\n', "row 1: no prompt column; it has answer, text"),
        ('{"prompt": "x"}\n{"prompt": 3}\n', "row 2: prompt: expected text, got int"),
        ('{"prompt": "x"}\n{"prompt": \n', "row 2: row: not valid JSON"),
        ('{"input": "", "output_1": "a", "output_2": "b", "label": 1}\n', "row 1: input: empty text (LLMBar)"),
        ("", "holds no row"),
    ],
)
def test_a_wrong_file_is_named_with_its_row(content, told, tmp_path):
    file = tmp_path / "bench.jsonl"
    file.write_text(content)
    with pytest.raises(BadInput) as error:
        prompts_of(file)
    assert str(file) in str(error.value)
    assert told in str(error.value)


def test_the_index_names_the_item_that_was_hit(tmp_path):
    file = tmp_path / "bench.jsonl"
    text = "How many legs have nine spiders and two cats together?"
    file.write_text(json.dumps({"id": "legs", "prompt": text}) + "\n")
    hits = index_of(prompts_of(file), Rule(n=7)).query([f"Well. {text.upper()} Tell me."])
    assert hits["item"].to_list() == ["bench:legs"]
    with pytest.raises(BadInput, match="no prompt"):
        index_of((), Rule(n=7))
