"""The starcraft loop at a size that proves only that it runs, repeats itself and can be asked why."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from skyloom.app.cli import app
from skyloom.core.config import override
from skyloom.core.execute import ExecuteConfig
from skyloom.core.ledger.query import why
from skyloom.core.metrics import read_evaluation
from skyloom.core.optim import TrainerConfig
from skyloom.core.report import render
from skyloom.core.run import open_run, output_digests
from skyloom.recipes.starcraft import scc
from skyloom.starcraft import pipeline
from skyloom.starcraft.agent.config import AgentConfig, ImitateConfig
from skyloom.starcraft.decide import winners_only
from skyloom.starcraft.evals.win_rate import Config as WinRateConfig
from skyloom.starcraft.settings import ScConfig
from skyloom.starcraft.sources import arena_games


def tiny() -> ScConfig:
    """Five games cut after a minute, a few updates, two games an examinee."""
    small = scc.smoke()
    source = arena_games.Config(matchups=("marine_push:slow_push",), games=5, games_a_shard=3, max_loops=1500, seed=4)
    return replace(
        small,
        collect=(source,),
        curate=tuple(each for each in small.curate if not isinstance(each, winners_only.Config)),
        train=ImitateConfig(
            agent=AgentConfig(width=16, core=32, channels=8, resblocks=1),
            optim=TrainerConfig(threads=1),
            batch=16,
            updates=4,
            sides="both",
            valid_share=0.3,
            valid_every=2,
            keep_no_ops=0.2,
        ),
        evaluate=WinRateConfig(games=2, null_games=2, max_loops=200),
        execute=ExecuteConfig(),
    )


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "scc"
    with open_run("scc.tiny", tiny(), path, 0) as run:
        pipeline.run(tiny(), run)
    return path


def test_every_step_stands_and_is_read_back(run_dir: Path):
    assert set(output_digests(run_dir)) == {"collect", "curate", "train", "evaluate"}
    evaluation = read_evaluation(run_dir / "evaluate")
    assert [each.n for each in (evaluation.headline, *evaluation.baselines)] == [2, 2, 2]
    heads = json.loads((run_dir / "train" / "validation.json").read_text())["heads"]
    assert set(heads) == {"kind", "skip", "queued", "units", "target", "position"}
    waterfall = json.loads((run_dir / "curate" / "waterfall.json").read_text())
    assert waterfall["rows_in"] == 5


def test_the_same_config_gives_the_same_bytes(run_dir: Path, tmp_path: Path):
    with open_run("scc.tiny", tiny(), tmp_path / "again", 0) as run:
        pipeline.run(tiny(), run)
    assert output_digests(tmp_path / "again") == output_digests(run_dir)


def test_a_finished_run_computes_nothing(run_dir: Path, monkeypatch: pytest.MonkeyPatch):
    def never(*args: object) -> None:
        raise AssertionError("a finished step was computed again")

    for name in ("_curate", "_train", "_evaluate", "collect"):
        monkeypatch.setattr(pipeline, name, never)
    with open_run("scc.tiny", tiny(), run_dir, 0) as run:
        pipeline.run(tiny(), run)


def test_another_training_setting_collects_nothing_again(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(run_dir, tmp_path / "other")
    monkeypatch.setattr(pipeline, "collect", lambda *_args: pytest.fail("collected again"))
    before = output_digests(run_dir)
    config = override(tiny(), ["train.updates=3"])
    with open_run("scc.tiny", config, tmp_path / "other", 0) as run:
        pipeline.run(config, run)
    after = output_digests(tmp_path / "other")
    assert [name for name in before if before[name] != after[name]] == ["evaluate", "train"]


def test_a_game_can_be_asked_why(run_dir: Path):
    trail = why(run_dir, "arena_games:0:0")
    assert "arena_games:0:0" in str(trail)


def test_the_report_is_one_page(run_dir: Path):
    page = render(run_dir).read_text()
    assert "Imitation, head by head" in page
    assert "idle_side" in page


def test_recordings_from_the_command_line_play_again(tmp_path: Path):
    command = CliRunner()
    done = command.invoke(
        app,
        [
            "starcraft",
            "record",
            "marine_push",
            "slow_push",
            "--games",
            "2",
            "--max-loops",
            "300",
            "--out",
            str(tmp_path),
        ],
    )
    assert done.exit_code == 0, done.output
    files = sorted(tmp_path.glob("*.skyr"))
    assert len(files) == 2
    again = command.invoke(app, ["starcraft", "replay", str(files[0]), "--json"])
    assert json.loads(again.stdout)["exact"] is True
    played = command.invoke(
        app, ["starcraft", "play", "marine_push", "slow_push", "--games", "2", "--max-loops", "300", "--json"]
    )
    assert json.loads(played.stdout)["draws"] == 2


def test_the_plan_names_its_rates():
    plan = pipeline.plan(scc.config())
    assert {line.step for line in plan.lines} >= {"collect", "curate", "train", "evaluate"}
    assert plan.total.core_hours > pipeline.plan(scc.smoke()).total.core_hours > 0
    assert any("decisions" in assumption for assumption in plan.assumptions)
