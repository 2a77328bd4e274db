"""The command line on wrong input, interrupts and full disks: one line, the right exit code, nothing lost."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import toys


def skyloom(*arguments, cwd, timeout=120, **options):
    environment = {**os.environ, "COLUMNS": "200", **options.pop("env", {})}
    command = [sys.executable, "-m", "skyloom.app.cli", *map(str, arguments)]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout, check=False, **options
    )


def one_line(done, code):
    assert done.returncode == code, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "nonesuch"], "unknown recipe 'nonesuch'; known: "),
        (["run", "skywork_reward:huge"], "has no setting 'huge'; known: smoke, config"),
        (["run", "skywork_reward", "--smoke", "--set", "train.lrr=1"], "unknown key 'lrr'; known keys:"),
        (["run", "skywork_math", "--smoke", "--set", "seed=x"], "expected a whole number, got 'x'"),
        (["list", "reward.lossy"], "unknown plug-in group 'reward.lossy'; known: "),
        (["why", "world:0:0", "--run", "nowhere"], "not a run directory"),
        (["report", "nowhere"], "no such run directory"),
        (["why", "world:0:0"], "holds no run"),
        (["--plugins", "absent", "list"], "no such directory"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(tmp_path, arguments, told):
    assert told in one_line(skyloom(*arguments, cwd=tmp_path), 2)


def test_an_unknown_option_is_exit_code_2(tmp_path):
    done = skyloom("run", "skywork_reward", "--nope", cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_list_and_doctor_speak_json(tmp_path):
    groups = json.loads(skyloom("list", "--json", cwd=tmp_path).stdout)
    assert "bradley_terry" in groups["reward.losses"]
    done = skyloom("doctor", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert all(finding["state"] != "broken" for finding in json.loads(done.stdout))


def test_nothing_of_the_command_line_imports_torch_before_it_is_needed(tmp_path):
    code = "import sys, skyloom.app.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False).returncode == 0


def test_a_file_in_place_of_the_output_and_a_foreign_directory_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for out, told in (("file", "is a file"), ("mine", "holds no run.json")):
        assert told in one_line(skyloom("run", "skywork_reward", "--smoke", "--out", out, cwd=tmp_path), 2)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_an_output_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    targets = ["file/run"] if os.geteuid() == 0 else ["file/run", "locked/run"]
    (tmp_path / "locked").mkdir(mode=0o500)
    if Path("/proc").is_dir():
        targets.append("/proc/run")  # a file system that takes no directories
    for out in targets:
        done = skyloom("run", "skywork_reward", "--smoke", "--out", out, cwd=tmp_path)
        assert f"cannot write {out}" in one_line(done, 1)


def limit_files():
    """No file over 64 kB: every larger write fails as it does on a full disk, with the bytes before it written."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))


def toy_loop(tmp_path, amount):
    """A script that collects and curates toy rows, in place of a long recipe."""
    toys.write(tmp_path / "plugins")
    script = tmp_path / "loop.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport toys\nfrom skyloom.app import cli\n"
        "from skyloom.core import registry\nfrom skyloom.core.ledger import collect, curate\nfrom skyloom.core.run import open_run\n"
        "def loop():\n"
        f"    source = registry.load('reward.sources', 'numbers').Config(amount={amount}, count=4)\n"
        "    chain = (registry.load('reward.annotate', 'size').Config(), registry.load('reward.decide', 'short').Config())\n"
        "    with open_run('toy', source, Path('run'), seed=0) as run:\n"
        "        rows = run.step('collect', lambda out: collect([source], toys.Row, out), config=source)\n"
        "        run.step('curate', lambda out: curate([rows], chain, out, run.cache), config=chain, inputs=(rows,))\n"
        "cli.app = loop\ncli.main()\n"
    )
    here = str(Path(toys.__file__).parent)
    return script, {"SKYLOOM_PLUGINS": str(tmp_path / "plugins"), "PYTHONPATH": here}


def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(tmp_path):
    script, env = toy_loop(tmp_path, amount=20_000)
    environment = {**os.environ, **env}
    full = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=limit_files,
        check=False,
    )
    assert "cannot write" in one_line(full, 1)
    assert not (tmp_path / "run" / "curate").exists()
    again = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "run" / "curate" / "step.json").exists()


def test_ctrl_c_is_one_line_and_loses_nothing(tmp_path):
    script, env = toy_loop(tmp_path, amount=60_000)
    process = subprocess.Popen(
        [sys.executable, script], cwd=tmp_path, env={**os.environ, **env}, stderr=subprocess.PIPE, text=True
    )
    markers = tmp_path / "run"
    for _ in range(600):
        if list(markers.glob(".collect-*/.shards/*.json")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 1, told
    assert told.strip() == "interrupted: nothing finished is lost; the same command goes on from there"
    done = {path: path.stat().st_mtime_ns for path in markers.glob(".collect-*/rows/numbers-00000-*.parquet")}
    assert done
    again = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    kept = {path.name: path.stat().st_mtime_ns for path in (markers / "collect" / "rows").glob("*.parquet")}
    assert all(kept[path.name] == stamp for path, stamp in done.items())
