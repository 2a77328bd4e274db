"""Runs an augmenter's program with given replies, as synthesis does, without a server."""

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import NamedTuple

from skyloom.core.records import Message
from skyloom.core.rng import stream
from skyloom.mathqa.operators import Asked, AugmentConfig, Draft, Job, Refused
from skyloom.mathqa.records import Problem


class Played(NamedTuple):
    """What a job asked, made and refused."""

    asked: list[Asked]
    drafts: list[Draft]
    refused: list[tuple[str, str]]


def play(
    module: ModuleType,
    problem: Problem,
    config: AugmentConfig,
    reply: Callable[[Sequence[Message], int], str],
    sample: int = 0,
    seed: int = 0,
) -> Played:
    """One job; `reply` is asked with the messages and the sample number of each call."""
    name = module.__name__.rpartition(".")[2]
    program = module.make(Job(problem, sample, stream(seed, "augment", name, problem.question, sample)), config)
    played = Played([], [], [])
    told = None
    try:
        step = next(program)
        while True:
            if isinstance(step, Draft):
                played.drafts.append(step)
                step = program.send({})
                continue
            played.asked.append(step)
            try:
                slots = step.call.parse(reply(step.messages, sample + (step.draw << 16)), step.slots)
            except Refused as error:
                told = error
                played.refused.append((step.call.name, error.reason))
                step = program.throw(error)
            else:
                step = program.send(slots)
    except StopIteration:
        pass
    except Refused as error:
        if error is not told:
            played.refused.append((played.asked[-1].call.name if played.asked else "start", error.reason))
    return played


def recited(replies: Sequence[str]) -> Callable[[Sequence[Message], int], str]:
    """A teacher that gives these replies one after the other."""
    rest = iter(replies)
    return lambda *_: next(rest)
