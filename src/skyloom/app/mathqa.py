"""`skyloom mathqa synthesize | verify | export | grade | sft | eval | compare | scaling | value`: the pieces of the math loop.

Run   skyloom mathqa eval --data gsm8k/test.jsonl --model runs/demo/mathqa --out DIR
      skyloom mathqa eval --data gsm8k/test.jsonl --predictions OUTPUTS.jsonl --out DIR
      skyloom mathqa eval --data gsm8k/test.jsonl --url http://127.0.0.1:8000/v1 --model NAME --out DIR
      skyloom mathqa compare DIR_A DIR_B
"""

from pathlib import Path
from typing import Annotated

import typer

from skyloom.app import mathqa_scaling

app = typer.Typer(help="Math data: synthesise, verify, grade, fine-tune, evaluate.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Out = Annotated[Path, typer.Option("--out", help="Directory to write to; the same command resumes there.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="path=value, for example train.epochs=1; repeatable.")]
Source = Annotated[
    str, typer.Option("--source", help="How to read the seeds; `skyloom list mathqa.sources` shows them.")
]
Model = Annotated[
    str, typer.Option("--model", help="A run directory, a Hugging Face name or directory, a .gguf file, or tiny.")
]


@app.command()
def synthesize(
    out: Out,
    seeds: Annotated[
        Path | None, typer.Option("--seeds", help="File or folder of seed problems; the world needs none.")
    ] = None,
    source: Source = "world",
    operators: Annotated[
        list[str] | None, typer.Option("--operator", help="An augmenter; repeatable; all without it.")
    ] = None,
    samples: Annotated[int, typer.Option("--samples", min=1, help="Rows made from each seed by each operator.")] = 1,
    teacher: Annotated[
        str, typer.Option("--teacher", help="OpenAI-compatible base URL; the simulated teacher without it.")
    ] = "",
    as_train: Annotated[bool, typer.Option("--as-train", help="Seed from a test split on purpose.")] = False,
    settings: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Make question-response rows from seed problems with a teacher; resumes where it was cut."""
    from skyloom.app import mathqa_work as work

    config = work.synthesis_config(seeds, source, operators or [], samples, teacher, as_train, settings or [])
    work.show_synthesis(work.synthesize(config, out), as_json)


@app.command()
def verify(
    run: Annotated[Path, typer.Option("--run", help="Directory that `skyloom mathqa synthesize` wrote.")],
    as_json: AsJson = False,
) -> None:
    """Verify synthetic rows by gold, votes, substitution and validity; drop wrong ones and copies; writes RUN/curate."""
    from skyloom.app import mathqa_work as work

    work.show_curation(work.verify(run), as_json)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run directory with curated rows.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must not exist or be empty.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> None:
    """Write the kept rows as query and response that `datasets` loads, with a card and the hash of every file."""
    from skyloom.mathqa.export import export as write

    typer.echo(f'load it: datasets.load_dataset("{write(run, out, force)}", split="train")')


@app.command()
def grade(
    file: Annotated[Path, typer.Argument(help="JSON lines with gold and prediction.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Graded rows; without it FILE.graded.jsonl beside the file.")
    ] = None,
    panel: Annotated[
        bool, typer.Option("--panel", help="Ask every grader: `verdicts` of each, and whether they differ.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Grade answers: each row gets `equal` and the rule that decided."""
    from skyloom.app import mathqa_work as work

    work.show_counts(work.grade(file, out, panel=panel), as_json)


@app.command()
def sft(
    data: Annotated[Path, typer.Option("--data", help="JSON lines with query (or question) and response.")],
    out: Out,
    model: Model = "tiny",
    settings: Sets = None,
    seed: Annotated[int, typer.Option("--seed", help="Same seed, same model.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a model on rows of question and response; the loss is on the response alone. Writes OUT/train/model."""
    from skyloom.app import mathqa_work as work

    work.show_training(work.tune(data, out, model, settings or [], seed), as_json)


@app.command("eval")
def eval_(
    out: Out,
    data: Annotated[
        Path | None, typer.Option("--data", help="Benchmark file; the world's eval problems without it.")
    ] = None,
    model: Model = "",
    predictions: Annotated[
        Path | None, typer.Option("--predictions", help="Stored outputs to grade instead of a model.")
    ] = None,
    output_field: Annotated[str, typer.Option("--output-field", help="Field of the outputs in --predictions.")] = "",
    benchmark: Annotated[
        str,
        typer.Option(
            "--benchmark", help="How to read --data (`skyloom list mathqa.evals`); told from the file without it."
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="Only the first so many items; 0: all.")] = 0,
    url: Annotated[
        str, typer.Option("--url", help="OpenAI-compatible base URL; --model is then its name for the model.")
    ] = "",
    settings: Sets = None,
    as_json: AsJson = False,
) -> None:
    """Accuracy of a model, or of stored outputs, with intervals, levels and null baselines; keeps every output."""
    from skyloom.app import mathqa_work as work

    asked = work.Asked(data, model, predictions, output_field, benchmark, limit, url)
    work.show_evaluation(*work.evaluate(asked, settings or [], out), as_json)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A run directory with an evaluation, or its evaluate folder.")],
    b: Annotated[Path, typer.Argument(help="Another, of the same items.")],
    as_json: AsJson = False,
) -> None:
    """Is A better than B? Paired tests on the same items: McNemar, bootstrap of accuracy and of likelihood, by level."""
    from skyloom.app import mathqa_work as work

    work.show_comparison(a, b, as_json)


app.command()(mathqa_scaling.scaling)
app.command()(mathqa_scaling.value)
