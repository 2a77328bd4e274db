"""The benchmarks as published: counts, recognised files, golds and reference solutions that grade themselves."""

from pathlib import Path

import pytest

from skyloom.app import mathqa_work as work
from skyloom.core import registry
from skyloom.mathqa.benchmark import items_of
from skyloom.mathqa.evals import math500
from skyloom.mathqa.verify.grading import grade

FILES = {
    "math500": ("MATH500/test.parquet", 500, 0),
    "amc": ("extra_eval/amc23/test.jsonl", 40, 0),
    "aime": ("extra_eval/aime24/test.jsonl", 30, 30),
    "asdiv": ("extra_eval/asdiv/test.jsonl", 2_215, 0),
    "mawps": ("extra_eval/mawps/test.jsonl", 2_065, 0),
    "minerva_math": ("extra_eval/minerva_math/test.jsonl", 272, 272),
    "gsm8k": ("gsm8k/test.jsonl", 1_319, 1_319),
}
NAMES_ONLY = {
    "Mrs. Hilt",
    "Mrs. Doyle's class",
}  # ASDiv's golds that THE grader cannot read: their full stop ends a sentence


@pytest.mark.parametrize("name", FILES)
def test_a_benchmark_is_recognised_read_whole_and_right_by_its_own_gold(real_data, name):
    path, rows, solutions = FILES[name]
    config = work.benchmark_of(work.Asked(real_data / "math" / path, "m", None, "", "", 0))
    assert registry.plugin_of(config).name == name
    items = items_of(config)
    assert len(items) == rows
    assert sum(bool(item.solution) for item in items) == solutions
    assert all(item.solution.endswith(f"\nThe answer is {item.answer}") for item in items if item.solution)
    unequal = {item.answer for item in items if not grade(item.answer, f"The answer is {item.answer}").equal}
    assert unequal <= NAMES_ONLY
    assert not [item.id for item in items if item.solution and not grade(item.answer, item.solution).equal]


def test_math500_by_ids_is_the_same_set(real_data):
    folder: Path = real_data / "math"
    chosen = items_of(math500.Config(path=folder / "MATH/test.jsonl", ids=folder / "MATH/math500_ids.json"))
    whole = items_of(math500.Config(path=folder / "MATH500/test.parquet"))
    assert len(chosen) == 500
    assert all(item.level and item.solution for item in chosen)
    texts = {"".join(item.question.split()) for item in whole}
    assert sum("".join(item.question.split()) in texts for item in chosen) >= 495
