"""Masking on the train parts of GSM8K and MATH as published, beside the rule that cuts at blanks."""

import json
import re
from collections import defaultdict
from fractions import Fraction

import pytest

from skyloom.core.errors import BadRow
from skyloom.mathqa.masking import asking, mask, numbers
from skyloom.mathqa.sources import gsm8k, math_hendrycks
from skyloom.mathqa.verify.answers import read


def problems(real_data, name):
    module, path = {
        "gsm8k": (gsm8k, "math/gsm8k/train.jsonl"),
        "MATH": (math_hendrycks, "math/MATH/train.jsonl"),
    }[name]
    for line in (real_data / path).read_text(encoding="utf-8").splitlines()[::4]:  # a quarter, for the sake of time
        try:
            yield module.to_record(json.loads(line))
        except BadRow:
            continue


def cut_at_blanks(question):
    """Our writing of the rule of MetaMath: a token with a digit and none of the characters that it turns down."""
    return [
        token
        for token in question.split(" ")
        if re.search(r"\d", token) and not re.search(r"[A-Za-z()\[\]{}:\"'*+-]", token)
    ]


def leaks(question):
    """Does a number that the blank rule would mask have another copy, which it leaves?"""
    copied = {abs(Fraction(number.value)) for number in numbers(question) if len(number.spans) > 1}
    pieces = (re.search(r"\d+(?:\.\d+)?", token.replace(",", "")) for token in cut_at_blanks(question))
    return any(Fraction(piece[0]) in copied for piece in pieces if piece)


@pytest.mark.parametrize(("name", "least"), [("gsm8k", 0.97), ("MATH", 0.85)])
def test_more_problems_can_be_asked_backward_than_by_cutting_at_blanks(real_data, name, least, capsys):
    ours, theirs, twice, every = (defaultdict(int) for _ in range(4))
    for problem in problems(real_data, name):
        for level in {0, problem.level or 0}:
            every[level] += 1
            ours[level] += bool(numbers(problem.question))
            theirs[level] += bool(cut_at_blanks(problem.question))
            twice[level] += leaks(problem.question)
    with capsys.disabled():
        for level in sorted(every):
            mine, blanks, twice_told = (f"{count[level] / every[level]:.1%}" for count in (ours, theirs, twice))
            print(
                f"\n{name} level {level or 'all'}: n {every[level]}, maskable {mine}, by blanks {blanks}, a copy left in {twice_told}"
            )
    assert ours[0] / every[0] > least
    assert ours[0] > theirs[0]


@pytest.mark.parametrize("name", ["gsm8k", "MATH"])
def test_every_masked_problem_keeps_its_rest(real_data, name):
    for problem in problems(real_data, name):
        for number in numbers(problem.question):
            told = mask(problem.question, number, problem.answer)
            restored, done = "", 0
            for (start, stop), (was, until) in zip(told.spans, number.spans, strict=True):
                restored += told.text[done:start] + problem.question[was:until]
                done = stop
            assert restored + told.text[done:] == problem.question
            assert read(number.value).value == Fraction(number.value)
            assert abs(Fraction(number.value)) not in {abs(Fraction(other.value)) for other in numbers(told.text)}


@pytest.mark.parametrize(("name", "least"), [("gsm8k", 0.98), ("MATH", 0.95)])
def test_questions_are_parted_from_facts(real_data, name, least):
    split = [asking(problem.question) for problem in problems(real_data, name)]
    assert sum(each is not None for each in split) / len(split) > least
