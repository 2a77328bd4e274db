"""Contracts of graders, found by the registry: a new file is tested without an edit here."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skyloom.core import registry
from skyloom.core.config import PluginConfig, from_dict, to_dict
from skyloom.mathqa.panel import GROUP, GraderConfig, ask, everyone, panel_of
from skyloom.mathqa.verify.grading import grade

NAMES = registry.names(GROUP)
TEXT_GRADERS = panel_of([each for each in everyone() if registry.plugin_of(each).name != "ours"])
PIECES = (
    *(
        "The answer is ",
        "The answer is: ",
        "Final Answer: The final answer is ",
        ". I hope it is correct",
        "#### ",
        ".\n",
    ),
    *(
        "\\boxed{",
        "boxed",
        "}",
        "{",
        "(",
        ")",
        "[",
        "]",
        "$",
        "\\frac",
        "\\sqrt",
        "\\text{ ",
        "\\text{",
        "\\pi",
        "^",
        "=",
        ",",
    ),
    *(
        "x",
        "1",
        "0.5",
        "1e999",
        "-",
        "/",
        "*",
        "%",
        "and",
        "\\cdot",
        "9" * 50,
        "\n",
        " ",
        "```output",
        "```",
        "\x00",
        "٣",
        "’",
    ),
)
OUTPUTS = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map("".join))


@pytest.mark.parametrize("name", NAMES)
def test_a_grader_judges_its_examples_by_the_rules_that_it_lists(name):
    module = registry.load(GROUP, name)
    config = module.Config()
    assert isinstance(config, GraderConfig)
    assert from_dict(PluginConfig, to_dict(config)) == config
    told = [module.verdict(each.gold, each.output, config) for each in module.EXAMPLE]
    assert [(each.equal, each.by) for each in told] == [(each.equal, each.by) for each in module.EXAMPLE]
    assert {each.equal for each in told} == {True, False}
    assert {each.by for each in told} <= set(module.RULES)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ours"])
def test_an_example_tells_the_grader_from_ours(name):
    assert any(grade(each.gold, each.output).equal != each.equal for each in registry.load(GROUP, name).EXAMPLE)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("equal", [True, False])
def test_ours_judges_every_example_as_the_grader_of_the_filter(name, equal):
    ours = registry.load(GROUP, "ours")
    for each in registry.load(GROUP, name).EXAMPLE:
        if each.equal == equal:
            assert ours.verdict(each.gold, each.output, ours.Config()) == grade(each.gold, each.output)


@settings(max_examples=100)
@given(gold=OUTPUTS, output=OUTPUTS)
def test_every_grader_is_total(gold, output):
    """No text raises, the rule is listed, and what is equal has an answer."""
    told = ask(TEXT_GRADERS, gold, output)
    for name, verdict in told.items():
        assert verdict.by in registry.load(GROUP, name).RULES
        assert verdict.answer is not None or not verdict.equal
    assert told["ours"] == grade(gold, output)


@settings(max_examples=60)
@given(number=st.integers(-(10**9), 10**9), words=st.sampled_from(["", "So. ", "It is 7.\n"]))
def test_all_agree_on_a_plain_number_behind_every_mark(number, words):
    output = f"{words}The final answer is {number}\nThe answer is {number}"
    assert all(verdict.equal for verdict in ask(TEXT_GRADERS, str(number), output).values())


@pytest.mark.parametrize(
    "body",
    [
        *("9" * 1_000_000, "{" * 10_000 + "1" + "}" * 10_000, "(" * 10_000, "\\text{" * 100_000, "\\frac" * 100_000),
        *(
            "1/" * 100_000,
            "$" * 100_001,
            "(" * 12 + "1" + ")" * 12,
            "9^9^9^9",
            "(((9^{9})^{9})^{9})^{9}",
            "-8^(0.5)",
            "1/0",
        ),
    ],
    ids=lambda body: body[:12],
)
def test_bad_answers_are_judged_and_are_not_equal(body):
    for verdict in ask(TEXT_GRADERS, "7", f"The final answer is {body}\nThe answer is {body}").values():
        assert not verdict.equal
    for verdict in ask(TEXT_GRADERS, "7", f"\\boxed{{{body}}}").values():
        assert not verdict.equal
