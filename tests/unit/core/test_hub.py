"""Downloads: the real `datasets` library on local files and on a hub of our own, killed anywhere, cut off, refused."""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from skyloom.core import hub
from skyloom.core.errors import BadInput, MissingExtra
from skyloom.core.hub import Hub

pytest.importorskip("datasets")

ROWS = [{"k": k, "text": "ä" * (k % 7), "turns": [{"role": "user", "content": str(k)}], "big": k} for k in range(103)]
FETCH = """
import os, signal, sys
from pathlib import Path

import datasets, huggingface_hub
from skyloom.core import hub, store
from skyloom.core.errors import SkyloomError

name, revision, *jobs = sys.argv[1:]
hub.PART_ROWS = 10
passed = deadly = 0

def point():
    global passed
    passed += 1
    if passed == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

def torn(file, data):
    point()
    file.write(data[: len(data) // 2])
    file.flush()
    point()
    file.write(data[len(data) // 2 :])
    point()

store._write = torn
for folder, deadly in zip(jobs[::2], map(int, jobs[1::2])):
    child = os.fork()  # each job in a process of its own, the slow imports done once
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("exit", code, flush=True)
        continue
    try:
        hub.fetch(name, "", "train", revision, Path(folder), skip=("big",))
    except SkyloomError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    print("points", passed, flush=True)
    os._exit(0)
"""


def local_set(folder: Path) -> str:
    folder.mkdir()
    for k, start in enumerate(range(0, len(ROWS), 40)):
        lines = [json.dumps(row) + "\n" for row in ROWS[start : start + 40]]
        (folder / f"train-{k}.jsonl").write_text("".join(lines))
    return str(folder)


def fetch_apart(name, tmp_path, *jobs, revision="", **variables):
    """`hub.fetch` in other processes, for each (folder, write operation at which it is killed, 0 for never); the lines they print."""
    env = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "USE_TORCH": "0", **variables}  # torch takes 3 s to import
    words = [str(word) for job in jobs for word in job]
    command = [sys.executable, "-c", FETCH, name, revision, *words]
    told = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return told.stdout.splitlines()


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.json*"))}


def test_a_set_becomes_parts_once(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "PART_ROWS", 10)
    name = local_set(tmp_path / "set")
    parts = hub.fetch(name, "", "train", "", tmp_path / "out", skip=("big",))
    assert [part.name for part in parts] == [f"part-{k:05d}.jsonl" for k in range(11)]
    read = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert read == [{name: value for name, value in row.items() if name != "big"} for row in ROWS]
    (tmp_path / "set" / "train-0.jsonl").unlink()
    monkeypatch.setattr(hub, "_download", None)  # a finished folder is read, not fetched
    assert hub.fetch(name, "", "train", "", tmp_path / "out", skip=("big",)) == parts


def test_a_download_killed_anywhere_goes_on_and_ends_in_the_same_bytes(tmp_path):
    name, whole = local_set(tmp_path / "set"), tmp_path / "whole"
    printed = fetch_apart(name, tmp_path, (whole, 0))
    points = int(printed[0].removeprefix("points "))
    assert points == 3 * (
        2 * 11 + 1
    )  # a part and its position eleven times, and the end; each write has three places to die
    deadly = [1, 2, 3, 5, 9, points // 2, points // 2 + 1, points - 4, points - 2, points - 1]
    jobs = [(tmp_path / f"out-{point}", when) for point in deadly for when in (point, 0)]
    printed = fetch_apart(name, tmp_path, *jobs)
    assert printed.count(f"exit {-signal.SIGKILL}") == printed.count("exit 0") == len(deadly)
    resumed = [int(line.removeprefix("points ")) for line in printed if line.startswith("points")]
    for point, again in zip(deadly, resumed, strict=True):
        assert files_of(tmp_path / f"out-{point}") == files_of(whole)
        assert again <= points - point + 6  # what was safe is not fetched again
    assert not list(tmp_path.glob("out-*/.*.partial"))


@pytest.mark.parametrize(
    ("config", "split", "told"),
    [("other", "train", "'other' not found"), ("", "holdout", "Available splits: ['train']")],
)
def test_a_wrong_configuration_or_split_lists_the_known_ones(tmp_path, config, split, told):
    name = local_set(tmp_path / "set")
    with pytest.raises(BadInput) as error:
        hub.fetch(name, config, split, "", tmp_path / "out")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_an_empty_split_and_another_download_are_told(tmp_path):
    name = local_set(tmp_path / "set")
    hub.fetch(name, "", "train", "", tmp_path / "out")
    with pytest.raises(BadInput, match="holds another download"):
        hub.fetch(name, "", "train", "v2", tmp_path / "out")
    (tmp_path / "out" / hub.STATE).write_text('{"asked": ')
    with pytest.raises(BadInput, match="damaged; delete"):
        hub.fetch(name, "", "train", "", tmp_path / "out")


def test_what_json_has_not_is_written_as_text():
    line = hub._line({"a": float("nan"), "b": [{"c": float("inf")}], "d": "\ud800", "e": b"x"}, ())
    assert json.loads(line) == {"a": "nan", "b": [{"c": "inf"}], "d": "\ud800", "e": "b'x'"}


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"pip install 'skyloom\[hub\]'"):
        hub.fetch(local_set(tmp_path / "set"), "", "train", "", tmp_path / "out")


def test_offline_is_one_line_with_the_remedy(tmp_path):
    printed = fetch_apart("nobody/nothing", tmp_path, (tmp_path / "out", 0), HF_HUB_OFFLINE="1")
    assert printed[0].startswith("BadInput: hub nobody/nothing: cannot be reached")
    assert printed[0].endswith("give the files by path")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a/b", Hub("a/b", "c", "s", skip=("x",))),
        ("a/b@v1", Hub("a/b", "c", "s", "v1", ("x",))),
        ("a/b:k", Hub("a/b", "k", "s", skip=("x",))),
        ("a/b::t@main", Hub("a/b", "c", "t", "main", ("x",))),
    ],
)
def test_a_hub_name_may_carry_configuration_split_and_revision(text, expected):
    assert hub.parse(text, Hub("default/name", "c", "s", skip=("x",))) == expected


@pytest.mark.parametrize("text", ["", "@v1", "a:b:c:d"])
def test_other_forms_of_a_hub_name_are_refused(text):
    with pytest.raises(BadInput, match="write NAME"):
        hub.parse(text, Hub())


def test_each_download_has_a_folder_of_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("SKYLOOM_CACHE", str(tmp_path))
    asked = [Hub("a/b"), Hub("a/b", "c"), Hub("a/b", split="test"), Hub("a/b", revision="v1"), Hub("a/c")]
    folders = {hub.folder_of(each) for each in asked}
    assert len(folders) == len(asked)
    assert all(folder.parent == tmp_path / "hub" for folder in folders)


# --- a hub of our own: commits, gates and broken connections as the real one shows them ---


class Handler(BaseHTTPRequestHandler):
    """Serves one file of one set at one commit, as far as `datasets` asks."""

    newest = "a" * 40
    asked: ClassVar[list[str]] = []
    body = "".join(json.dumps(row) + "\n" for row in ROWS).encode()

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if "org/gated" in path and "/resolve/" in path:
            return self.send(403, b"", {"X-Error-Code": "GatedRepo"})
        if "org/absent" in path:
            return self.send(404, b"", {"X-Error-Code": "RepoNotFound"})
        if "/resolve/" in path and path.endswith("train.jsonl"):
            return self.send_body()
        if "/resolve/" in path:
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.newest})
        if "/revision/nowhere" in path:
            return self.send(404, b"", {"X-Error-Code": "RevisionNotFound"})
        file = {"type": "file", "path": "train.jsonl", "size": len(self.body), "oid": "1" * 40}
        if "/tree/" in path:
            return self.send(200, json.dumps([file]).encode())
        if "/paths-info/" in path:
            return self.send(200, json.dumps([]).encode())
        sibling = {"rfilename": "train.jsonl"}
        sha = path.partition("/revision/")[2] or self.newest
        info = {"id": "/".join(path.split("/")[3:5]), "sha": sha, "siblings": [sibling], "tags": []}
        return self.send(
            200, json.dumps({**info, "private": False, "disabled": False, "downloads": 0, "likes": 0}).encode()
        )

    do_POST = do_GET

    def send_body(self):
        extra = {"ETag": '"' + "1" * 40 + '"', "X-Repo-Commit": self.newest, "Accept-Ranges": "bytes"}
        start, end = 0, len(self.body)
        asked = self.headers.get("Range")
        if asked:
            low, _, high = asked.removeprefix("bytes=").partition("-")
            start, end = int(low), min(int(high) + 1 if high else end, end)
            extra["Content-Range"] = f"bytes {start}-{end - 1}/{len(self.body)}"
        return self.send(206 if asked else 200, self.body[start:end], extra)

    def send(self, status, body, extra=None):
        self.send_response(status)
        for key, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(extra or {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_OFFLINE": "0"}
    server.shutdown()


def test_a_cut_download_goes_on_at_its_own_commit(tmp_path, endpoint, monkeypatch):
    first, out = "a" * 40, tmp_path / "out"
    assert fetch_apart("org/name", tmp_path, (out, 30), **endpoint) == [f"exit {-signal.SIGKILL}"]
    monkeypatch.setattr(Handler, "newest", "b" * 40)  # the owner pushes in between
    Handler.asked.clear()
    printed = fetch_apart("org/name", tmp_path, (out, 0), **endpoint)
    state = json.loads((out / hub.STATE).read_text())
    assert (state["rows"], state["commit"], state["done"]) == (len(ROWS), first, True), printed
    assert any(first in path for path in Handler.asked)
    assert not any("b" * 40 in path for path in Handler.asked)
    assert files_of(out).keys() == {f"part-{k:05d}.jsonl" for k in range(11)} | {hub.STATE}


def test_a_lost_connection_says_what_is_safe(tmp_path, endpoint, monkeypatch):
    out = tmp_path / "out"
    assert fetch_apart("org/name", tmp_path, (out, 30), **endpoint) == [f"exit {-signal.SIGKILL}"]
    printed = fetch_apart("org/name", tmp_path, (out, 0), HF_HUB_OFFLINE="1")
    assert printed[0].startswith("FailedWork: hub org/name: cut off")
    assert "rows are safe, the same command goes on" in printed[0]
    assert printed[0].count(" 0 rows") == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("org/gated", "gated; accept its licence at https://huggingface.co/datasets/org/gated, then set HF_TOKEN"),
        ("org/absent", "no such data set, or a private one: set HF_TOKEN"),
    ],
)
def test_gated_and_missing_sets_name_the_remedy(tmp_path, endpoint, name, told):
    printed = fetch_apart(name, tmp_path, (tmp_path / "out", 0), **endpoint)
    assert printed[0].startswith(f"BadInput: hub {name}: ")
    assert told in printed[0]


def test_an_unknown_revision_is_named(tmp_path, endpoint):
    printed = fetch_apart("org/name", tmp_path, (tmp_path / "out", 0), revision="nowhere", **endpoint)
    assert printed[0] == "BadInput: hub org/name: has no revision 'nowhere'"
