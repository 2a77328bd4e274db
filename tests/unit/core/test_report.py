"""The report: whole and readable from a made-up run, silent about what is absent, safe against hostile text."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from skyloom.core import stats
from skyloom.core.errors import BadInput
from skyloom.core.metrics import Estimate, Evaluation, MetricLog, Plot, Series, Table, write_evaluation
from skyloom.core.report import render, render_many
from skyloom.core.report.html import Html, escape, join, tag
from skyloom.core.report.sections import interval_text
from skyloom.core.stats import Interval, wilson

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp; $\\frac{1$ \x00\x1b[31m \u202e 漢字 --> ]]>"
MANIFEST = {
    "recipe": "skywork_reward",
    "seed": 7,
    "fingerprint": "3f2a9c1180b4d7e6",
    "started": "2026-11-22T17:00:00Z",
    "versions": {"python": "3.11.9", "skyloom": "0.1.0", "torch": "2.13.0", "commit": "0123abcd"},
    "machine": {"system": "Linux-6.1", "cores": 2},
    "config": {"seed": 7, "train": {"lr": 2e-6, "epochs": 2}},
    "steps": {"collect": {"key": "aa" * 8, "seconds": 4.21}, "train": {"key": "bb" * 8, "seconds": 93.5}},
}
SOURCES = {
    "sources": [
        {
            "label": "world",
            "plugin": "reward.sources/world",
            "licence": "Apache-2.0",
            "split": "train",
            "as_train": False,
            "rows": 12000,
            "rejected": 0,
            "reject_reasons": {},
        },
        {
            "label": "hh_rlhf",
            "plugin": "reward.sources/hh_rlhf",
            "licence": "MIT",
            "split": "test",
            "as_train": True,
            "rows": 8552,
            "rejected": 31,
            "reject_reasons": {"chosen: empty text": 4, "chosen equals rejected": 27},
        },
    ]
}
WATERFALL = {
    "rows_in": 20552,
    "steps": [
        {"step": "exact_duplicate", "dropped": 612, "changed": 0, "reasons": {"exact_duplicate": 612}},
        {"step": "length", "dropped": 1500, "changed": 0, "reasons": {"too_short": 1100, "too_long": 400}},
        {"step": "contamination", "dropped": 0, "changed": 0, "reasons": {}},
        {"step": "label_noise", "dropped": 300, "changed": 200, "reasons": {"disagrees": 500}},
        {"step": "top_k", "dropped": 9140, "changed": 0, "reasons": {"below_share": 9140}},
    ],
    "kept": 9000,
}
TRUTH = [
    {"defect": "exact_duplicate", "planted": 600, "found": 612, "hits": 600},
    {"defect": "label_noise", "planted": 900, "found": 500, "hits": 410},
    {"defect": "benchmark_leak", "planted": 40, "found": 0, "hits": 0},
]


def evaluation(value=0.712):
    return Evaluation(
        headline=Estimate.of("pair accuracy", wilson(round(value * 900), 900)),
        baselines=(
            Estimate.of("longer reply wins", wilson(495, 900)),
            Estimate.of("chance", wilson(450, 900)),
            Estimate.of("untrained model", wilson(447, 900)),
        ),
        others=(Estimate(name="reward gap", value=1.834, low=1.71, high=1.96, n=900, method="BCa bootstrap"),),
    )


TABLES = (
    Table(
        title="Accuracy by section",
        note="One row is one section of the benchmark. Ties count as half.",
        columns=("section", "pairs", "accuracy", "best null", "passed"),
        rows=(
            ("Chat", 220, wilson(171, 220), 0.55, True),
            ("Chat hard: adversarial instructions with near-identical replies", 310, wilson(190, 310), 0.51, True),
            ("Safety", 180, wilson(140, 180), 0.5, True),
            ("Reasoning", 190, None, 0.5, False),
        ),
    ),
)
PLOTS = (
    Plot(
        title="Accuracy by number of training pairs",
        x="training pairs",
        y="accuracy",
        series=(
            Series(
                name="curated",
                x=(500, 1000, 2000, 4000, 9000),
                y=(0.58, 0.62, 0.66, 0.69, 0.712),
                low=(0.55, 0.59, 0.63, 0.66, 0.68),
                high=(0.61, 0.65, 0.69, 0.72, 0.74),
            ),
            Series(
                name="random rows of the same number", x=(500, 1000, 2000, 4000, 9000), y=(0.55, 0.57, 0.6, 0.62, 0.63)
            ),
        ),
    ),
)


def make_run(path, recipe="skywork_reward", steps=640):
    rng = np.random.default_rng(5)
    write(path / "run.json", MANIFEST | {"recipe": recipe})
    write(path / "collect" / "sources.json", SOURCES)
    write(path / "curate" / "waterfall.json", WATERFALL)
    write(path / "curate" / "truth.json", TRUTH)
    log = MetricLog(path / "train" / "metrics.jsonl")
    for step in range(1, steps + 1):
        loss = 0.35 + 0.34 * math.exp(-step / 180) + 0.03 * rng.normal()
        log.write(step, {"lr": 2e-6 * (1 - step / steps), "loss": loss, "win_rate": 1 - loss + 0.02 * rng.normal()})
    write_evaluation(path / "evaluate", evaluation(), TABLES, PLOTS)
    return path


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


class Page(HTMLParser):
    """Tags, visible text and well-formedness of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self._open = [], [], "", []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "hr"):
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = make_run(tmp_path_factory.mktemp("runs") / "reward")
    render(path)
    return path


@pytest.fixture(scope="module")
def page(run):
    return Page((run / "report" / "index.html").read_text())


@pytest.mark.parametrize(
    "text",
    [
        "beats the null",
        "0.712",
        "0.682 to 0.741 · n = 900 · Wilson",
        "Its lower bound lies above the best null baseline, longer reply wins: 0.550 [0.517, 0.582] n=900.",
        "9,000 of 20,552 rows kept (43.8%), 11,552 dropped.",
        "too_short",
        "of these flipped or mended, not dropped",
        "test, trained on purpose",
        "chosen equals rejected",
        "640 logged steps, 1 to 640. Long lines are means of 4 steps",
        "Accuracy by section",
        "Ties count as half.",
        "Accuracy by number of training pairs",
        "bbbbbbbbbbbbbbbb",
        "93.5",
        "skyloom 0.1.0",
        "2.13.0",
    ],
)
def test_the_page_says(page, text):
    assert text in page.text


def test_truth_table_has_precision_and_recall_with_intervals(page):
    precision, recall = stats.precision_recall(410, 500, 900)
    for each in (precision, recall):
        assert Page(interval_text(each)).text in page.text


def test_page_needs_nothing_else(run, page):
    text = (run / "report" / "index.html").read_text()
    assert not {"script", "link", "img", "iframe", "object", "image"} & set(page.tags)
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert links
    assert all(value.startswith("#") for value in links)
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    for needed in ("prefers-color-scheme: dark", 'name="viewport"', "Content-Security-Policy"):
        assert needed in text


def test_anchors_and_svg_references_resolve_once(run, page):
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in page.attributes:
        if name in ("href", "xlink:href"):
            assert value.removeprefix("#") in ids
    assert set(re.findall(r"url\(#([^)]+)\)", (run / "report" / "index.html").read_text())) <= set(ids)


def test_wide_content_scrolls_in_its_own_box(run):
    text = (run / "report" / "index.html").read_text()
    assert text.count("<table>") == text.count('class="scroll"')
    assert not re.search(r"<svg[^>]* (width|height)=", text)


def test_figures_follow_the_theme_and_stand_as_png(run):
    text = (run / "report" / "index.html").read_text()
    svgs = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(svgs) == 7  # result, sections plot, three curves, waterfall, truth
    for svg in svgs:
        assert "var(--" in svg
        assert not re.search(r"(fill|stroke): #", svg), "a colour that dark mode cannot change"
        assert "DejaVu" not in svg
    files = sorted(path.name for path in (run / "report").glob("*.png"))
    assert files == [
        "curate-truth.png",
        "curate-waterfall.png",
        "evaluate-1.png",
        "result.png",
        "train-loss-1.png",
        "train-lr-2.png",
        "train-win-rate-3.png",
    ]
    for path in (run / "report").glob("*.png"):
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert b"Matplotlib" not in data


def test_equal_runs_give_equal_bytes(run, tmp_path):
    other = make_run(tmp_path / "elsewhere")
    render(other)
    first = {path.name: path.read_bytes() for path in (run / "report").iterdir()}
    assert {path.name: path.read_bytes() for path in (other / "report").iterdir()} == first


def test_an_empty_run_is_told_not_invented(tmp_path):
    (tmp_path / "bare").mkdir()
    text = Page(render(tmp_path / "bare").read_text()).text
    assert "bare" in text
    for missing in (
        "results.json",
        "tables.json",
        "metrics.jsonl",
        "waterfall.json",
        "truth.json",
        "sources.json",
        "run.json",
    ):
        assert missing in text.partition("Left out:")[2]


def test_a_run_cut_after_curation_shows_what_there_is(tmp_path):
    write(tmp_path / "curate" / "waterfall.json", WATERFALL)
    text = Page(render(tmp_path).read_text()).text
    assert "9,000 of 20,552 rows kept" in text
    assert "Training (train/metrics.jsonl is missing)" in text


def test_two_ledgers_are_told_apart(tmp_path):
    write(tmp_path / "curate" / "waterfall.json", WATERFALL)
    write(tmp_path / "select-seeds" / "waterfall.json", WATERFALL | {"kept": 9000})
    text = Page(render(tmp_path).read_text()).text
    assert "Curation: curate" in text
    assert "Curation: select-seeds" in text
    assert len(list((tmp_path / "report").glob("*-waterfall.png"))) == 2


def test_losing_to_the_null_is_said(tmp_path):
    write_evaluation(tmp_path / "evaluate", evaluation(0.57))
    text = Page(render(tmp_path).read_text()).text
    assert "does not beat the null" in text
    assert "Its lower bound does not lie above the best null baseline" in text
    write_evaluation(tmp_path / "evaluate", Evaluation(headline=evaluation().headline, baselines=()))
    assert "no baseline measured" in Page(render(tmp_path).read_text()).text


def test_waterfall_of_many_reasons_folds_the_small_ones(tmp_path):
    reasons = {f"reason {i:02}": i for i in range(1, 41)}
    step = {"step": "rules", "dropped": sum(reasons.values()), "reasons": reasons}
    write(tmp_path / "curate" / "waterfall.json", {"rows_in": 1000, "steps": [step], "kept": 180})
    svg = re.search(r"<svg.*?</svg>", render(tmp_path).read_text(), flags=re.DOTALL)[0]
    assert "27 smaller reasons" in svg
    assert "378" in svg  # 1 + 2 + ... + 27
    assert "rules: reason 28" in svg
    assert "rules: reason 27" not in svg


def test_hostile_text_stays_text(tmp_path):
    steps = {HOSTILE: {"key": HOSTILE, HOSTILE: [HOSTILE]}, "x": HOSTILE}
    config = {HOSTILE: HOSTILE}
    write(
        tmp_path / "run.json",
        {"recipe": HOSTILE, "seed": HOSTILE, "versions": config, "config": config, "steps": steps},
    )
    source = dict.fromkeys(("label", "plugin", "licence", "split"), HOSTILE)
    counts = {"as_train": True, "rows": 1, "rejected": 1, "reject_reasons": {HOSTILE: 1}}
    write(tmp_path / "collect" / "sources.json", {"sources": [source | counts]})
    step = {"step": HOSTILE, "dropped": 1, "changed": 0, "reasons": {HOSTILE: 1}}
    write(tmp_path / "curate" / "waterfall.json", {"rows_in": 2, "steps": [step], "kept": 1})
    write(tmp_path / "curate" / "truth.json", [{"defect": HOSTILE, "planted": 2, "found": 2, "hits": 1}])
    write(tmp_path / "train" / "metrics.jsonl", {"step": 1, HOSTILE: 2})
    with (tmp_path / "train" / "metrics.jsonl").open("a") as file:
        file.write("\n")
    bad = Estimate(name=HOSTILE, value=0.5, low=0.4, high=0.6, n=9, method=HOSTILE)
    table = Table(title=HOSTILE, note=HOSTILE, columns=(HOSTILE,), rows=((HOSTILE,),))
    plot = Plot(title=HOSTILE, x=HOSTILE, y=HOSTILE, series=(Series(name=HOSTILE, x=(1,), y=(1,)),) * 2)
    write_evaluation(tmp_path / "evaluate", Evaluation(headline=bad, baselines=(bad,), others=(bad,)), [table], [plot])
    page = Page(render_many([tmp_path], tmp_path / "many").read_text(encoding="utf-8"))
    assert not {"script", "img"} & set(page.tags)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert page.text.count("<script>alert(1)</script>") > 20
    for gone in ("\x00", "\x1b", "\u202e"):
        assert gone not in page.text


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("run.json", "{", "run.json: row 1: file: not valid JSON"),
        ("collect/sources.json", '{"sources": [{"label": 3}]}', "sources.json: row 1: label: expected text, got int"),
        ("curate/waterfall.json", '{"rows_in": -1, "steps": [], "kept": 0}', "rows_in: expected a count, got -1"),
        ("curate/waterfall.json", "[]", "holds 0 objects"),
        ("curate/truth.json", '[{"defect": "x", "planted": 1, "found": 2, "hits": 2}]', "hits: 2 exceeds planted 1"),
        ("train/metrics.jsonl", "[]\n", "row 1: expected an object"),
        ("evaluate/results.json", "{}", "headline: missing"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, file, text, message):
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(BadInput, match=re.escape(message)):
        render(tmp_path)
    assert not (tmp_path / "report").exists()


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(BadInput, match="no such run directory"):
        render(tmp_path / "nowhere")


def test_many_runs_share_one_page(tmp_path):
    write(tmp_path / "reward" / "run.json", MANIFEST)
    write_evaluation(tmp_path / "reward" / "evaluate", evaluation())
    short = tmp_path / "math run"
    write_evaluation(short / "evaluate", evaluation(0.57))
    write(tmp_path / "third" / "curate" / "waterfall.json", WATERFALL)
    path = render_many([tmp_path / "reward", short, tmp_path / "third"], tmp_path / "demo")
    assert path == tmp_path / "demo" / "index.html"
    page = Page(path.read_text())
    assert "3 runs" in page.text
    assert "not evaluated" in page.text
    for name in ("skywork_reward", "math run", "third", "beats the null", "does not beat the null"):
        assert name in page.text
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {"1-reward-result.png", "2-math-run-result.png"} <= {png.name for png in path.parent.glob("*.png")}


def test_intervals_are_rounded_to_what_they_support():
    shown = {
        (0.71234, 0.68412, 0.73845): "0.712 [0.684, 0.738] n=5",
        (0.5, 0.1, 0.9): "0.50 [0.10, 0.90] n=5",
        (1534.2, 1490.1, 1578.3): "1,534 [1,490, 1,578] n=5",
        (0.25, 0.25, 0.25): "0.250 [0.250, 0.250] n=5",
        (0.0, 0.0, 0.0): "0 [0, 0] n=5",
    }
    for (value, low, high), text in shown.items():
        assert Page(interval_text(Interval(value, low, high, 5, "m"))).text == text


def test_markup_is_a_type_and_text_is_escaped():
    assert tag("td", "a < b", class_="x") == '<td class="x">a &lt; b</td>'
    assert tag("p", Html("<b>"), '"&') == "<p><b>&quot;&amp;</p>"
    assert tag("meta", http_equiv='"x') == '<meta http-equiv="&quot;x">'
    assert join(("a", Html("<br>")), " & ") == "a &amp; <br>"
    assert escape("\ud800\x00\x7f\t") == "\ufffd\ufffd\ufffd\t"
