"""The grader as its callers see it: verdicts, the killable worker, threads, and files of pairs."""

import json
import threading
import time
from pathlib import Path

import pytest

from skyloom.core.errors import BadInput
from skyloom.mathqa.verify.grading import Grader, Verdict, grade, grade_file

BOMBS = ["5^{5^{5^{5^5}}}", "(((((6!)!)!)!)!)!"]


@pytest.mark.parametrize(
    ("gold", "prediction", "verdict"),
    [
        ("42", "so 6 * 7 = 42.\nThe answer is 42.", Verdict(equal=True, by="form", answer="42")),
        ("6 * 7 = 42\n#### 42", "that is \\boxed{43}", Verdict(equal=False, by="number", answer="43")),
        ("1/2", "0.5", Verdict(equal=True, by="number", answer="0.5")),
        ("5", "", Verdict(equal=False, by="no_answer", answer=None)),
        ("5", "there is no way for me to solve this, I am sorry", Verdict(equal=False, by="no_answer", answer=None)),
        ("", "5", Verdict(equal=False, by="no_answer", answer="5")),
        (
            "all positive multiples of 3",
            "all positive divisors of 3",
            Verdict(equal=False, by="unreadable", answer="3"),
        ),
        ("all positive multiples of 3", "3", Verdict(equal=False, by="unreadable", answer="3")),
        ("x+1", "The answer is $1+x$", Verdict(equal=True, by="algebra", answer="$1+x$")),
    ],
)
def test_verdicts(gold: str, prediction: str, verdict: Verdict) -> None:
    assert grade(gold, prediction) == verdict


@pytest.mark.parametrize(
    ("left", "right"),
    [
        *(
            ("24%", "0.24"),
            ("(B) 7", "B"),
            ("x=1,y=2", "(1,2)"),
            ("x = 5", "y = 5"),
            ("10^{-3}", "0.001"),
            ("1/3", "0.33"),
        ),
        *(
            (r"\pm\sqrt3", r"\sqrt{3},-\sqrt{3}"),
            ("The answer is 5 cm.", r"so \boxed{5}"),
            ("odd", "The answer is odd"),
        ),
        *(
            ("x+y=5", "y=5-x"),
            (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
            ("she has 5 apples left", "he has 5 pears left"),
        ),
    ],
)
def test_the_same_verdict_both_ways_round(left: str, right: str) -> None:
    one, other = grade(left, right), grade(right, left)
    assert (one.equal, one.by) == (other.equal, other.by)


def test_a_gold_in_words_is_more_than_its_number_and_a_prediction_in_words_is_not() -> None:
    assert not grade("she has 5 apples left", "5").equal
    assert grade("5", "she has 5 apples left").equal


def test_bombs_are_killed_and_the_grader_lives_on() -> None:
    with Grader(seconds=0.7, memory_bytes=1 << 29) as grader:
        for bomb in BOMBS:
            start = time.monotonic()
            verdict = grader.grade(bomb, "y")
            assert time.monotonic() - start < 10  # 0.7 s and the start of a worker on a busy machine
            assert not verdict.equal
            assert verdict.by in ("timeout", "memory", "unreadable", "algebra")
        assert grader.grade("x+1", "1+x").equal


def test_it_works_in_many_threads() -> None:
    verdicts: list[bool] = []
    with Grader() as grader:

        def work(k: int) -> None:
            verdicts.append(grader.grade(f"x+{k}", f"{k}+x").equal)
            verdicts.append(not grader.grade(f"x+{k}", f"{k + 1}+x").equal)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verdicts == [True] * 16


def test_no_worker_is_started_for_simple_pairs() -> None:
    with Grader(seconds=0.0) as grader:  # a pair that reached the worker would be a timeout
        assert grader.grade("1,000", "The answer is 1000").equal
        assert grader.grade("x+1", "1+x").by == "timeout"


def test_the_fast_path_is_fast() -> None:
    pairs = [
        ("1000", "1,000"),
        ("18", "so it is 19.\nThe answer is 19"),
        ("0.24", "24%"),
        ("1/2", "\\boxed{0.5}"),
        ("odd", "even"),
    ]
    with Grader() as grader:
        start = time.process_time()
        for _ in range(200):
            for gold, prediction in pairs:
                grader.grade(gold, prediction)
        assert 1000 / (time.process_time() - start) > 2_000


def test_files_are_graded_row_by_row(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = ['{"gold": "4", "prediction": "The answer is 4", "id": 7}', '{"gold": "4", "prediction": ""}', '{"gold": 4, "prediction": "4"}',
            "not json", '{"prediction": "4"}', '{"gold": "x+1", "prediction": "1+x"}']  # fmt: skip
    source.write_text("\n".join(rows) + "\n")
    counts = grade_file(source, target)
    assert (counts.rows, counts.equal, [(each.row, each.field) for each in counts.rejects]) == (
        3,
        2,
        [(3, "gold"), (4, ""), (5, "gold")],
    )
    graded = [json.loads(line) for line in target.read_text().splitlines()]
    assert graded == [
        {"gold": "4", "prediction": "The answer is 4", "id": 7, "equal": True, "by": "form"},
        {"gold": "4", "prediction": "", "equal": False, "by": "no_answer"},
        {"gold": "x+1", "prediction": "1+x", "equal": True, "by": "algebra"},
    ]
    with pytest.raises(BadInput, match=r"none\.jsonl"):
        grade_file(tmp_path / "none.jsonl", target)
