"""Export of kept rows: what `datasets` loads, the paper's marker, hashes, the card, and all or nothing."""

import json

import pytest

from skyloom.core import store
from skyloom.core.errors import BadInput
from skyloom.core.ledger.curate import read_decisions
from skyloom.core.run import open_run
from skyloom.mathqa import export as export_module
from skyloom.mathqa import pipeline
from skyloom.mathqa.annotate import duplicates, verify
from skyloom.mathqa.augment import answer_augment, rephrase
from skyloom.mathqa.decide import duplicates as drop_duplicates
from skyloom.mathqa.decide import wrong_answer
from skyloom.mathqa.export import FIELDS, HASHES, export
from skyloom.mathqa.records import MARK
from skyloom.mathqa.settings import MathConfig, PassConfig, SimulatedConfig, SynthesizeConfig
from skyloom.mathqa.sources import world

CHAIN = (verify.Config(), wrong_answer.Config(), duplicates.Config(), drop_duplicates.Config())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    plan = PassConfig(augment=(rephrase.Config(), answer_augment.Config()))
    config = MathConfig(
        collect=(world.Config(rows=30),),
        synthesize=SynthesizeConfig(passes=(plan,), simulated=SimulatedConfig(wrong=0.3)),
        curate=CHAIN,
    )
    path = tmp_path_factory.mktemp("export") / "run"
    with open_run("mathqa.toy", config, path, 0) as opened:
        made = pipeline.make_passes(config, opened, pipeline.collect_seeds(config, opened))
        pipeline.curate_step(config, CHAIN, made, opened)
    return path


@pytest.fixture(scope="module")
def exported(run):
    return export(run, run.parent / "out")


def lines_of(folder):
    return [json.loads(line) for file in sorted((folder / "data").iterdir()) for line in file.read_text().splitlines()]


def test_every_kept_row_is_there_flat_with_the_marker(run, exported):
    rows = lines_of(exported)
    assert len(rows) == int(read_decisions(run / "curate")["kept"].sum()) > 20
    kinds = {tuple((name, type(value)) for name, value in row.items()) for row in rows}
    assert len(kinds) == 1, "one schema, the same types in each row"
    assert [name for name, _ in kinds.pop()] == list(FIELDS)
    assert all(row["response"].splitlines()[-1] == f"{MARK}{row['answer']}" for row in rows)


def test_datasets_loads_it(exported, tmp_path):
    datasets = pytest.importorskip("datasets")
    loaded = datasets.load_dataset(str(exported), split="train", cache_dir=str(tmp_path))
    files = {"train": str(exported / "data" / "*.jsonl")}
    plain = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path))
    assert loaded.to_list() == plain.to_list() == lines_of(exported)


def test_the_card_has_a_head_counts_licences_decisions_and_true_hashes(run, exported):
    yaml = pytest.importorskip("yaml")
    card = (exported / "README.md").read_text()
    head = yaml.safe_load(card.split("---\n")[1])
    assert head["task_categories"] == ["text-generation", "question-answering"]
    assert head["size_categories"] == ["n<1K"]
    assert head["configs"][0]["data_files"] == [{"split": "train", "path": "data/train-*.jsonl"}]
    for part in (
        "| rephrase |",
        "## Seeds",
        "world",
        "## Curation",
        "## Licences of the kept rows",
        "wrong_answer",
        "## Decisions, in order",
    ):
        assert part in card, part
    hashes = json.loads((exported / HASHES).read_text())
    assert hashes == {f"data/{name}": digest for name, digest in store.hash_tree(exported / "data").items()}
    assert all(digest in card for digest in hashes.values())


def test_shards_are_cut_and_the_same_run_gives_the_same_bytes(run, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "SHARD_ROWS", 7)
    cut = export(run, tmp_path / "cut")
    assert lines_of(cut) == lines_of(exported)
    sizes = [len(file.read_text().splitlines()) for file in sorted((cut / "data").iterdir())]
    assert set(sizes[:-1]) == {7}
    assert {file.name[-14:] for file in (cut / "data").iterdir()} == {f"of-{len(sizes):05d}.jsonl"}
    export(run, tmp_path / "cut", force=True)
    assert store.hash_tree(cut) == store.hash_tree(export(run, tmp_path / "again"))


def test_nothing_else_is_overwritten(run, exported, tmp_path):
    with pytest.raises(BadInput, match="not empty"):
        export(run, exported)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match="something else"):
        export(run, tmp_path / "mine", force=True)
    with pytest.raises(BadInput):
        export(tmp_path / "nowhere", tmp_path / "x")
    assert not (tmp_path / "x").exists()
