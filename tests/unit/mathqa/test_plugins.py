"""Contracts of augmenters and benchmarks, found by the registry: a new file is tested without an edit here."""

import pytest

from augmenting import play, recited
from skyloom.core import registry
from skyloom.mathqa.benchmark import EvalConfig, Graded, accuracy
from skyloom.mathqa.operators import ANSWER, AugmentConfig, Refused
from skyloom.mathqa.verify.grading import grade

AUGMENT = registry.names("mathqa.augment")
EVALS = registry.names("mathqa.evals")


@pytest.mark.parametrize("name", AUGMENT)
def test_an_augmenter_reads_its_recorded_replies(name):
    module = registry.load("mathqa.augment", name)
    assert issubclass(module.Config, AugmentConfig)
    seen = set()
    for each in module.EXAMPLE.recorded:
        try:
            got = each.call.parse(each.reply, each.slots)
        except Refused as error:
            got = error.reason
        else:
            assert set(got) == set(each.call.reads)
        assert got == each.expected, each
        seen.add((each.call.name, isinstance(each.expected, str)))
    own = {(call.name, refused) for call in module.CALLS for refused in (True, False) if call is not ANSWER}
    assert own <= seen, "each call of its own needs a reply that is read and one that is refused"


@pytest.mark.parametrize("name", AUGMENT)
def test_an_augmenter_refuses_every_truncation_of_a_good_reply(name):
    for each in registry.load("mathqa.augment", name).EXAMPLE.recorded:
        if not isinstance(each.expected, str):
            for stop in range(len(each.reply.rstrip()) - 1):
                with pytest.raises(Refused):
                    each.call.parse(each.reply[:stop], each.slots)


@pytest.mark.parametrize("name", AUGMENT)
def test_an_augmenter_plays_its_example(name):
    module = registry.load("mathqa.augment", name)
    problem, config, replies, drafts, _ = module.EXAMPLE
    played = play(module, problem, config, recited(replies))
    assert len(played.asked) == len(replies)
    assert tuple(played.drafts) == drafts
    for asked in played.asked:
        assert asked.call in module.CALLS
        last = asked.messages[-1].content
        assert asked.call.stop in last
        assert all(slot in last for slot in asked.slots.values())
        assert problem.solution not in last, "the seed's solution must not reach the teacher"
    for draft in drafts:
        assert draft.response.endswith(f"The answer is {draft.answer}")


@pytest.mark.parametrize("name", AUGMENT)
def test_the_same_job_asks_the_same(name):
    module = registry.load("mathqa.augment", name)
    problem, config, replies, _, _ = module.EXAMPLE
    first, again = (play(module, problem, config, recited(replies)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("name", AUGMENT)
def test_a_plan_counts_at_least_what_the_example_takes(name):
    module = registry.load("mathqa.augment", name)
    _, config, replies, drafts, _ = module.EXAMPLE
    assert len(replies) <= (module.calls(config) if hasattr(module, "calls") else len(module.CALLS))
    assert len(drafts) <= (module.drafts(config) if hasattr(module, "drafts") else 1)


@pytest.mark.parametrize("name", EVALS)
def test_a_gold_answer_scores_one_and_the_report_has_n_and_interval(name):
    module = registry.load("mathqa.evals", name)
    assert issubclass(module.Config, EvalConfig)
    item, output = module.EXAMPLE
    assert grade(item.answer, output).equal
    assert grade(item.answer, item.answer).equal
    assert not grade(item.answer, "I do not know.").equal
    told = accuracy(name, [Graded(item=item, output=output, finished=True, verdict=grade(item.answer, output))])
    assert (told.n, told.value) == (1, 1.0)
    assert told.low < 1.0


def test_every_item_of_the_world_scores_its_own_gold():
    module = registry.load("mathqa.evals", "world")
    items = module.items(module.Config(rows=100))
    assert len({item.id for item in items}) == len(items)
    assert all(grade(item.answer, f"So it is.\nThe answer is {item.answer}").equal for item in items)
    assert len(module.items(module.Config(rows=100, limit=7))) == 7


def test_samples_below_one_are_refused():
    with pytest.raises(ValueError, match="samples"):
        registry.load("mathqa.augment", AUGMENT[0]).Config(samples=0)
