"""Contracts of augmenters and benchmarks, found by the registry: a new file is tested without an edit here."""

import pytest

from skyloom.core import registry
from skyloom.core.records import Message
from skyloom.mathqa.benchmark import EvalConfig, Graded, accuracy
from skyloom.mathqa.operators import END, AugmentConfig, Refused

AUGMENT = registry.names("mathqa.augment")
EVALS = registry.names("mathqa.evals")


@pytest.mark.parametrize("name", AUGMENT)
def test_an_augmenter_parses_its_recorded_replies(name):
    module = registry.load("mathqa.augment", name)
    assert issubclass(module.Config, AugmentConfig)
    problem, recorded = module.EXAMPLE
    seen = set()
    for each in recorded:
        try:
            got = module.STAGES[each.stage].parse(each.reply, problem, each.slots)
        except Refused as error:
            got = error.reason
        assert got == each.expected, each
        seen.add((each.stage, isinstance(each.expected, str)))
    assert seen == {(k, refused) for k in range(len(module.STAGES)) for refused in (True, False)}


@pytest.mark.parametrize("name", AUGMENT)
def test_an_augmenter_refuses_every_truncation_of_a_good_reply(name):
    module = registry.load("mathqa.augment", name)
    problem, recorded = module.EXAMPLE
    for each in recorded:
        if not isinstance(each.expected, str):
            for stop in range(len(each.reply) - 1):
                with pytest.raises(Refused):
                    module.STAGES[each.stage].parse(each.reply[:stop], problem, each.slots)


@pytest.mark.parametrize("name", AUGMENT)
def test_an_augmenter_asks_with_the_problem_and_names_its_closing_mark(name):
    module = registry.load("mathqa.augment", name)
    problem, recorded = module.EXAMPLE
    slots = {}
    for stage, recording in zip(module.STAGES, [r for r in recorded if not isinstance(r.expected, str)], strict=True):
        messages = stage.prompt(problem, slots)
        assert all(isinstance(message, Message) for message in messages)
        assert slots.get("question", problem.question) in messages[-1].content
        assert END in messages[-1].content
        assert problem.solution not in messages[-1].content, "the seed's solution must not reach the teacher"
        slots |= recording.expected
    draft = module.build(problem, slots)
    assert draft.response.endswith(f"The answer is {draft.answer}")


@pytest.mark.parametrize("name", EVALS)
def test_a_gold_answer_scores_one_and_the_report_has_n_and_interval(name):
    module = registry.load("mathqa.evals", name)
    assert issubclass(module.Config, EvalConfig)
    item, output = module.EXAMPLE
    assert module.score(item, output).equal
    assert module.score(item, item.answer).equal
    assert not module.score(item, "I do not know.").equal
    told = accuracy(name, [Graded(item=item, output=output, finished=True, verdict=module.score(item, output))])
    assert (told.n, told.value) == (1, 1.0)
    assert told.low < 1.0


def test_every_item_of_the_world_scores_its_own_gold():
    module = registry.load("mathqa.evals", "world")
    items = module.items(module.Config(rows=100))
    assert len({item.id for item in items}) == len(items)
    assert all(module.score(item, f"So it is.\nThe answer is {item.answer}").equal for item in items)
    assert len(module.items(module.Config(rows=100, limit=7))) == 7


def test_samples_below_one_are_refused():
    with pytest.raises(ValueError, match="samples"):
        registry.load("mathqa.augment", AUGMENT[0]).Config(samples=0)
