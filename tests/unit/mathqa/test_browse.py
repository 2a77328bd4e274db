"""The page of outputs: whole, closed to whatever a model wrote, and the same for the same rows."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from urllib.parse import unquote

from skyloom.mathqa.browse import SCRIPT, write_page

NASTY = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>&lt;b&gt; <!-- \u2028 \x00 \u202e \ud83d\"'` $x<y$"
)


def row(number, **fields):
    base = {"id": f"t/{number}", "level": 1, "subject": "s", "question": "q", "gold": "1", "output": "o", "nll": None}
    return {**base, "finished": True, "answer": "1", "equal": True, "by": "number", "failed": "", **fields}


class Elements(HTMLParser):
    """Names of the elements, and the text of scripts."""

    def __init__(self):
        super().__init__()
        self.names, self.attributes, self.scripts, self.inside = [], [], [], False

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.scripts[-1] += data


def read(path):
    parser = Elements()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def test_what_a_model_wrote_stays_text(tmp_path):
    rows = [row(0, question=NASTY, output=NASTY, subject=NASTY, votes=["1", None])]
    write_page(tmp_path / "x.html", f"t {NASTY}", rows)
    parser = read(tmp_path / "x.html")
    assert parser.names.count("script") == 2
    assert "img" not in parser.names
    assert not [name for name in parser.attributes if name.startswith("on")]
    (told,) = json.loads(parser.scripts[0])
    assert "<script>alert(1)</script>" in told["output"]
    assert "$x<y$" in told["question"]
    assert "\x00" not in told["output"]
    write_page(tmp_path / "y.html", f"t {NASTY}", rows)
    assert (tmp_path / "x.html").read_bytes() == (tmp_path / "y.html").read_bytes()


def test_only_its_own_script_may_run_and_nothing_is_fetched(tmp_path):
    write_page(tmp_path / "x.html", "t", [row(k) for k in range(3)])
    text = (tmp_path / "x.html").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(read(tmp_path / "x.html").scripts[1].encode()).digest()).decode()
    policy = re.search(r'content="(default-src[^"]*)"', text)[1].replace("&#x27;", "'")
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    assert not re.search(r"https?://|src=|@import|url\(", text)
    for sink in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert sink not in SCRIPT.read_text(encoding="utf-8")


def test_no_rows_make_a_page(tmp_path):
    write_page(tmp_path / "x.html", "t", [])
    assert json.loads(read(tmp_path / "x.html").scripts[0]) == []


def test_the_report_links_to_the_page_from_wherever_it_stands(tmp_path):
    from skyloom.core.metrics import Estimate, Evaluation, Table, write_evaluation
    from skyloom.core.report import render, render_many
    from skyloom.core.stats import wilson

    folder = tmp_path / "my runs" / "a" / "evaluate"
    write_page(folder / "outputs-t.html", "t", [row(0)])
    table = Table(title="t", note="", columns=("a",), rows=((1,),))
    write_evaluation(folder, Evaluation(headline=Estimate.of("t", wilson(1, 2)), baselines=()), [table])
    pages = render(folder.parent), render_many([folder.parent], tmp_path / "demo" / "report")
    for page in pages:
        (link,) = re.findall(r'href="([^"#]*outputs-t\.html)"', page.read_text(encoding="utf-8"))
        assert (page.parent / unquote(link)).resolve() == (folder / "outputs-t.html").resolve()
