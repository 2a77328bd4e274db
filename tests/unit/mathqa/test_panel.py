"""The panel: verdicts side by side, its tables, its files, and the headline by one flag."""

import json
from pathlib import Path

import pytest

from skyloom.core.config import override
from skyloom.core.errors import BadInput
from skyloom.core.metrics import read_evaluation, write_evaluation
from skyloom.mathqa import panel
from skyloom.mathqa.benchmark import Item
from skyloom.mathqa.evals import gsm8k, world
from skyloom.mathqa.graders import minerva, ours, paper, tora

CASES = (
    ("1", "So \\boxed{1}.\nThe answer is 1"),
    ("50", "The answer is 0.5"),  # tora alone
    ("1000", "The answer is 1,000"),  # ours and tora
    ("\\frac{1}{2}", "The final answer is 1/2"),  # ours and minerva; tora reads the last number
    ("7", "The answer is 8"),  # nobody
    ("1+x, 1-x", "The answer is 1-x, 1+x"),  # ours alone
)
ITEMS = tuple(
    Item(id=f"t/{k}", question=f"Question {k}?", answer=gold, level=None, subject="s")
    for k, (gold, _) in enumerate(CASES)
)
SIDES = [
    {"ours", "paper", "tora"},
    {"tora"},
    {"ours", "tora"},
    {"ours", "minerva"},
    set(),
    {"ours"},
]


@pytest.fixture(scope="module")
def told():
    graders = panel.panel_of(panel.everyone())
    return [panel.ask(graders, gold, output) for gold, output in CASES]


def test_each_grader_says_what_its_rules_say(told):
    assert [set(panel.equal_by(each)) for each in told] == SIDES
    assert [panel.disputed(each) for each in told] == [False, True, True, True, False, True]


def test_ours_stands_first_in_every_panel_and_no_grader_twice():
    assert list(panel.panel_of([paper.Config(), minerva.Config()])) == ["ours", "paper", "minerva"]
    assert list(panel.panel_of([tora.Config(), ours.Config()])) == ["ours", "tora"]
    with pytest.raises(BadInput, match="'paper' stands more than once"):
        panel.panel_of([paper.Config(), paper.Config(markers=("x",))])


def test_the_tables_count_every_output(told):
    accuracies, sides, disputed = panel.tables("t", ITEMS, told)
    rows = {row[0]: row[1:] for row in accuracies.rows}
    right = {name: sum(each[name].equal for each in told) for name in rows}
    assert {name: row[0].value * 6 for name, row in rows.items()} == pytest.approx(right)
    assert rows["ours"][1] is None
    gap = rows["tora"][1]
    assert (gap.value, rows["tora"][2:4]) == (pytest.approx(-1 / 6), (1, 2))
    assert gap.low < gap.value < gap.high
    assert rows["minerva"][4] == 5  # outputs in which it finds no answer
    assert sum(count for _, count in sides.rows) == 6
    assert [row[0] for row in disputed.rows] == ["t/1", "t/2", "t/3", "t/5"]
    assert panel.tables("t", ITEMS, told) == (accuracies, sides, disputed)
    assert panel.tables("t", (), ()) == ()
    assert len(panel.tables("t", ITEMS[:1], told[:1])) == 3  # one item: no interval of a difference


def test_a_file_gets_every_verdict(tmp_path):
    source = tmp_path / "in.jsonl"
    good = [{"gold": gold, "prediction": output, "note": k} for k, (gold, output) in enumerate(CASES)]
    lines = [*map(json.dumps, good), "{torn", json.dumps({"gold": "1"}), json.dumps({"gold": "", "prediction": "1"})]
    source.write_text("\n".join(lines) + "\n")
    counts = panel.panel_file(source, tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [{name for name, said in row["verdicts"].items() if said["equal"]} for row in rows] == SIDES
    assert [row["note"] for row in rows] == list(range(6))
    assert (counts.rows, counts.disputed) == (6, sum(row["disputed"] for row in rows))
    assert counts.equal == {"ours": 4, "minerva": 1, "paper": 1, "tora": 3}
    assert [(reject.row, reject.field) for reject in counts.rejects] == [(7, ""), (8, "prediction"), (9, "gold")]
    some = panel.panel_file(source, tmp_path / "some.jsonl", [paper.Config()])
    assert set(some.equal) == {"ours", "paper"}


def judged(folder: Path, **asked):
    from skyloom.mathqa.evaluate import Output, judge

    return judge(folder, world.Config(), ITEMS, [Output(text, True) for _, text in CASES], **asked)


def test_the_headline_is_ours_or_the_asked_graders(tmp_path):
    report = judged(tmp_path)
    assert (report.evaluation.headline.name, report.evaluation.headline.value) == (
        "world accuracy",
        pytest.approx(4 / 6),
    )
    assert [table.title for table in report.tables if "grader" in table.title] == ["world: accuracy by grader"]
    strict = judged(tmp_path / "strict", grader=paper.Config(), others=())
    assert strict.evaluation.headline.name == "world accuracy, paper grader"
    assert strict.evaluation.headline.value == pytest.approx(1 / 6)
    table = next(table for table in strict.tables if "by grader" in table.title)
    assert [row[0] for row in table.rows] == ["ours", "paper"]
    loose = judged(tmp_path / "loose", grader=paper.Config(markers=("answer is ",)))
    assert loose.evaluation.headline.value == pytest.approx(2 / 6)
    write_evaluation(tmp_path, report.evaluation, report.tables, report.plots)
    assert read_evaluation(tmp_path) == report.evaluation


def test_outputs_and_disputed_ones_are_written(tmp_path):
    judged(tmp_path, grader=tora.Config())
    outputs, disputed = (
        [json.loads(line) for line in (tmp_path / f"{what}-world.jsonl").read_text().splitlines()]
        for what in ("outputs", "disputed")
    )
    assert [row["equal"] for row in outputs] == [("tora" in side) for side in SIDES]
    assert [row["id"] for row in disputed] == ["t/1", "t/2", "t/3", "t/5"]
    assert set(disputed[0]["verdicts"]) == {"ours", "minerva", "paper", "tora"}
    assert disputed[0]["verdicts"]["tora"] == {"equal": True, "by": "number", "answer": "0.5"}


def test_gsm8k_golds_have_no_commas_so_that_texts_can_be_compared(tmp_path):
    file = tmp_path / "test.jsonl"
    file.write_text(json.dumps({"question": "How many?", "answer": "It is.\n#### 1,080"}) + "\n")
    (item,) = gsm8k.items(gsm8k.Config(path=file))
    assert all(
        module.verdict(item.answer, "The answer is 1080", module.Config()).equal for module in (ours, paper, tora)
    )


def test_a_flag_names_the_grader():
    from dataclasses import dataclass, field

    from skyloom.core.config import Config
    from skyloom.mathqa.panel import GraderConfig

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Asked(Config):
        grader: GraderConfig = field(default_factory=ours.Config)

    assert override(Asked(), ["grader=paper"]).grader == paper.Config()
    assert override(Asked(), ["grader=paper", 'grader.markers=["x"]']).grader == paper.Config(markers=("x",))
    with pytest.raises(BadInput, match="known: minerva, ours, paper, tora"):
        override(Asked(), ["grader=nope"])
