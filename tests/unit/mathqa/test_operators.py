"""Prompt templates: slots are filled once, text in them is never expanded, unknown slots fail."""

from pathlib import Path

import pytest

from skyloom.mathqa.operators import Refused, behind, closed, messages, solution


def test_text_in_a_slot_is_not_expanded_again(tmp_path: Path):
    file = tmp_path / "t.toml"
    shot = 'shots = [{ a = "1{b}", b = "2", reply = "3" }]'
    file.write_text(f'[ask]\nsystem = "S"\nuser = "{{a}} and {{b}} and {{a}}"\n{shot}\n')
    system, *shots, user = messages(file, "ask", {"a": "{b}", "b": "{a} {{x}}"})
    assert user.content == "{b} and {a} {{x}} and {b}"
    assert [(each.role, each.content) for each in (system, *shots)] == [
        ("system", "S"),
        ("user", "1{b} and 2 and 1{b}"),
        ("assistant", "3"),
    ]
    with pytest.raises(KeyError, match="ask: no slot c"):
        messages(file, "ask", {"c": "1"})


@pytest.mark.parametrize(
    ("reply", "reason"),
    [("", "empty"), ("half", "unclosed"), ("[end]", "empty"), ("2=2\nThe answer is \n[end]", "no_answer")],
)
def test_what_is_not_a_whole_solution_is_refused(reply, reason):
    with pytest.raises(Refused, match=reason):
        solution(reply, {})


def test_what_stands_after_the_closing_mark_is_ignored():
    assert closed("text [end] Shall I go on?") == "text"
    assert solution("1+1=2\nThe answer is 2.\n[end]\nProblem: more", {})["response"] == "1+1=2\nThe answer is 2"
    assert behind("So: New problem: x", "New problem:") == "x"


@pytest.mark.parametrize(
    ("last", "answer"),
    [
        ("The answer is 4", "4"),
        ("The answer is \\(\\boxed{15}\\)", "15"),
        ("Therefore, the answer is **$\\frac{1}{2}$**.", "$\\frac{1}{2}$"),
        ("**The final answer is: 7**", "7"),
        ("So we get \\[ \\boxed{x^{2}+1} \\]", "x^{2}+1"),
        ("The answer is 3.5.", "3.5"),
    ],
)
def test_the_answer_is_read_from_what_models_write(last, answer):
    got = solution(f"We add.\n{last} [end]", {})
    assert got["answer"] == answer
    assert got["response"].startswith("We add.")
    assert got["response"].endswith(f"\nThe answer is {answer}")
