"""`skyloom reward serve`: a trained reward model behind HTTP.

Run   skyloom reward serve runs/x/train/model --port 8000
      curl -s 127.0.0.1:8000/v1/score -d '{"prompt": "Name a colour.", "responses": ["Blue.", "Seven."]}'
"""

from typing import Annotated, Literal

import typer

from skyloom.core.errors import BadInput, MissingExtra

app = typer.Typer()
LOOPBACK: tuple[str, ...] = ("127.0.0.1", "::1", "localhost")


@app.command()
def serve(
    model: Annotated[str, typer.Argument(help="The `model` folder of a training step, or any published reward model.")],
    host: Annotated[str, typer.Option("--host", help="Address to listen on; there is no password.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes a free one and prints it.")] = 8000,
    max_length: Annotated[
        int, typer.Option("--max-length", help="Longest conversation in tokens; 0: the model's own limit.")
    ] = 0,
    over_long: Annotated[
        Literal["error", "truncate"],
        typer.Option(
            "--over-long", help="A longer one: refused with 422, or cut at the left of its prompt and said so."
        ),
    ] = "error",
    budget: Annotated[int, typer.Option("--budget", help="Most tokens of one batch, padding counted.")] = 16_384,
    dtype: Annotated[Literal["float32", "bfloat16"], typer.Option("--dtype", help="Type of the weights.")] = "float32",
    attention: Annotated[
        Literal["sdpa", "eager", "flash_attention_2"], typer.Option("--attention", help="Attention kernel.")
    ] = "sdpa",
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where the model runs.")] = "auto",
    queue: Annotated[int, typer.Option("--queue", help="Most tokens that wait; beyond it 503.")] = 262_144,
    max_body: Annotated[int, typer.Option("--max-body", help="Largest request body in bytes.")] = 4_000_000,
    workers: Annotated[int, typer.Option("--workers", help="Threads that parse and tokenise.")] = 2,
    wait_ms: Annotated[
        float, typer.Option("--wait-ms", help="Longest wait for others to share a batch, milliseconds.")
    ] = 4.0,
) -> None:
    """Score conversations over HTTP: POST /v1/score, and vLLM's POST /classify with the raw logit."""
    try:
        from skyloom.reward import serve as server
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("fastapi", "starlette", "uvicorn"):
            raise
        raise MissingExtra(f"reward serve needs the package {error.name}: pip install 'skyloom[serve]'") from error
    from skyloom.reward.settings import ScoreConfig

    config = server.ServeConfig(host=host, port=port, queue=queue, max_body=max_body, workers=workers, wait_ms=wait_ms)
    if min(budget, queue) < 1 or max_length < 0:
        raise BadInput("--budget and --queue must be at least 1, --max-length at least 0")
    asked = ScoreConfig(
        max_length=max_length, over_long=over_long, budget=budget, dtype=dtype, attention=attention, device=device
    )
    server.listen(host, port).close()  # a taken port is told before the model is loaded
    from skyloom.reward.score import Scorer

    scorer = Scorer.load(model, asked)
    if host not in LOOPBACK:
        typer.echo(f"{host}: whoever reaches this address can use the model; there is no password", err=True)
    server.serve(scorer, config, lambda url: typer.echo(f"{scorer.name} at {url}"))
    typer.echo("stopped")
