"""The grader against math-verify alone: pairs a second and accuracy, on the same pairs in the same run, alternating.

Peer     math_verify.verify(math_verify.parse(gold), math_verify.parse(prediction)); bare answers go to it between dollars, as it asks
Input    simple: generated numbers, fractions, percents, units, tuples and words whose truth is known, half of them equal;
         real, where $SKYLOOM_DATA is set: MATH-500 golds against reference solutions, 800 sampled MATH solutions and GSM8K's labelled
         solutions of one model; the labels of the samples are another grader's and hold a few errors
Checked  ours >= 2,000 simple pairs a second, >= 10 times the peer, at least its accuracy on the real pairs
Run      SKYLOOM_DATA=DIR python benchmarks/grade.py [--quick]
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import math_verify
import numpy as np
import polars as pl

from skyloom.core.rng import stream
from skyloom.mathqa.verify.grading import Grader

# Seconds: of this process for simple pairs, which need no worker; of the wall for real ones, which may.
Clock = Callable[[], float]


class Pair(NamedTuple):
    """A gold answer, a prediction and whether they are equal."""

    gold: str
    prediction: str
    equal: bool


class Score(NamedTuple):
    """Of one grader on one set of pairs."""

    a_second: float
    agree: float


def simple(count: int) -> list[Pair]:
    """Pairs of eight shapes; the second half of each shape's pairs has another value."""
    rng = stream(20260102, "grade")
    words = ("odd", "even", "parallel", "Tuesday", "no solution", "ellipse")
    pairs: list[Pair] = []
    for k in range(count):
        shape, equal = k % 8, k // 8 % 2 == 0
        a, b, step = int(rng.integers(1, 10**6)), int(rng.integers(2, 99)), 0 if equal else int(rng.integers(1, 9))
        if shape == 0:
            texts = (str(a), f"{a + step:,}")
        elif shape == 1:
            texts = (rf"\frac{{{a}}}{{{b}}}", f"{2 * (a + step)}/{2 * b}")
        elif shape == 2:
            texts = (f"{b / 100}", rf"{b + step}\%")
        elif shape == 3:
            texts = (rf"{b}\text{{ cm}}", f"{b + step}")
        elif shape == 4:
            texts = (f"({b}, {a})", rf"\left({b}, {a + step}\right)")
        elif shape == 5:
            texts = (words[a % 6], rf"\text{{{words[(a + min(step, 5)) % 6]}}}")
        elif shape == 6:
            texts = (f"x = {a}", f"{a + step}.0")
        else:
            texts = (f"{a}", f"We add and find {a + step}.\nThe answer is {a + step}.")
        pairs.append(Pair(*texts, equal))
    return pairs


def lines(path: Path) -> list[dict[str, object]]:
    """Rows of a JSONL file."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def real(folder: Path) -> dict[str, list[Pair]]:
    """Real answers by name of their source."""
    solutions = {row["problem"].strip(): row["solution"] for row in lines(folder / "MATH" / "test.jsonl")}
    frame = pl.read_parquet(folder / "MATH500" / "test.parquet")
    asked = [prompt[0]["content"].partition("\n\n")[2].strip() for prompt in frame["prompt"].to_list()]
    golds = [model["ground_truth"] for model in frame["reward_model"].to_list()]
    samples = [
        Pair(row["gt"], text, bool(score))
        for row in lines(folder / "samples" / "math_cot_100.jsonl")
        for text, score in zip(row["code"], row["score"], strict=True)
    ]
    model = "175b_verification"
    gsm = [
        Pair(row["ground_truth"], row[model]["solution"], row[model]["is_correct"])
        for row in lines(folder / "gsm8k" / "example_model_solutions.jsonl")
    ]
    return {
        "math500": [Pair(gold, solutions[question], True) for gold, question in zip(golds, asked, strict=True)],
        "math samples": samples,
        "gsm8k solutions": gsm,
    }


def peer(gold: str, prediction: str) -> bool:
    """math-verify; a short text without dollars or box is put between dollars."""
    texts = [text if "$" in text or "boxed" in text or len(text) > 60 else f"${text}$" for text in (gold, prediction)]
    return bool(math_verify.verify(*(math_verify.parse(text) for text in texts)))


def timed(judge: Callable[[str, str], bool], pairs: list[Pair], clock: Clock) -> tuple[float, float]:
    """Seconds, and the share of pairs judged as labelled."""
    start = clock()
    agree = sum(judge(pair.gold, pair.prediction) == pair.equal for pair in pairs)
    return clock() - start, agree / len(pairs)


def ours(pairs: list[Pair], clock: Clock) -> tuple[float, float]:
    """As timed, by a new grader, which remembers nothing of the last repeat."""
    with Grader() as grader:
        grader.grade("x+1", "1+x")  # the worker runs, as the peer has loaded what it needs
        return timed(lambda gold, text: grader.grade(gold, text).equal, pairs, clock)


def race(name: str, pairs: list[Pair], repeats: int, clock: Clock) -> tuple[Score, Score]:
    """Ours and the peer, in turns; prints one row."""
    runs = [(ours(pairs, clock), timed(peer, pairs, clock)) for _ in range(repeats)]
    scores = tuple(
        Score(len(pairs) / float(np.median([run[side][0] for run in runs])), runs[0][side][1]) for side in (0, 1)
    )
    we, they = scores
    print(
        f"{name:16} {len(pairs):>6} {we.a_second:>10,.0f} {they.a_second:>10,.0f} {we.a_second / they.a_second:>7.1f}"
        f" {we.agree:>9.2%} {they.agree:>9.2%}",
        flush=True,
    )
    return we, they


def main() -> int:
    """Exit code 1 where a bar is missed."""
    quick = "--quick" in sys.argv
    logging.disable(logging.WARNING)  # math-verify warns of every text it cannot read
    repeats = 1 if quick else 3
    folder = Path(os.environ.get("SKYLOOM_DATA", "")) / "math"
    sources = real(folder) if os.environ.get("SKYLOOM_DATA") and folder.is_dir() else {}
    print(f"{'pairs':16} {'n':>6} {'ours/s':>10} {'peer/s':>10} {'ratio':>7} {'ours':>9} {'peer':>9}")
    peer("x+1", "1+x")  # it has loaded what it needs
    fast, slow = race("simple", simple(200 if quick else 800), repeats, time.process_time)
    missed = [] if fast.a_second >= 2_000 and fast.agree == 1 else ["simple"]
    step = 20 if quick else 1
    every = [race(name, pairs[::step], repeats, time.perf_counter) for name, pairs in sources.items()]
    if every:
        sizes = [len(pairs[::step]) for pairs in sources.values()]
        seconds = [sum(n / pair[side].a_second for n, pair in zip(sizes, every, strict=True)) for side in (0, 1)]
        fast, slow = (Score(sum(sizes) / each, 0.0) for each in seconds)
        missed += [name for name, (a, b) in zip(sources, every, strict=True) if a.agree < b.agree]
    ratio = fast.a_second / slow.a_second
    missed += [] if ratio >= 10 else ["ratio"]
    print(f"bars missed: {', '.join(missed) or 'none'}")
    result = {"name": "grade", "ours": round(fast.a_second, 1), "peer": round(slow.a_second, 1), "ratio": round(ratio, 2),
              "unit": "pairs/s", "repeats": repeats}  # fmt: skip
    print(json.dumps(result))
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
