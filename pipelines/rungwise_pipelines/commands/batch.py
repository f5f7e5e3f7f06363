"""`rungwise batch`: a file of OpenAI batch lines through the whole house, without a server."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import As, Config, Group, Json, caller_of, settings_of
from rungwise_pipelines.commands.output import emit, note, say

if TYPE_CHECKING:
    from rungwise_pipelines.batch.generate import Generation
    from rungwise_pipelines.batch.local import BatchReport, Crew, Task
    from rungwise_pipelines.batch.spread import Spread
    from rungwise_server.config.settings import Settings
    from rungwise_server.types import Caller

_AGAIN = "What is done is written; run the same command again to go on."


def batch(
    input: Annotated[Path, typer.Argument(help="Batch lines, as OpenAI takes them.", metavar="INPUT.jsonl")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where answers go.", metavar="OUTPUT.jsonl")],
    errors: Annotated[
        Path | None, typer.Option(help="Where failures go; else OUTPUT.errors.jsonl.", metavar="FILE")
    ] = None,
    limit: Annotated[int, typer.Option(help="Only the first so many lines of the input; 0: all.", min=0)] = 0,
    concurrency: Annotated[
        int, typer.Option(help="Lines that run at once, at most; how many do is found by trying.", min=1, max=4096)
    ] = 256,
    max_cost: Annotated[
        float | None, typer.Option(help="Stop before the whole batch costs more, earlier runs included.", min=0)
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(help="Stop before the whole batch uses more tokens, in and out, earlier runs included.", min=0),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for one attempt at a line.", min=1)] = 600,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed",
            help="Try all failed lines again, not only those that a limit, a timeout or a server's error ended.",
        ),
    ] = False,
    ray: Annotated[
        bool, typer.Option("--ray", help="Spread the lines over a Ray cluster, as a Ray Data pipeline (extra `scale`).")
    ] = False,
    ray_address: Annotated[
        str,
        typer.Option(
            help="With --ray: the cluster, `auto` or `ray://HOST:10001`; else one on this machine.", metavar="ADDRESS"
        ),
    ] = "",
    ray_workers: Annotated[
        int, typer.Option(help="With --ray: processes that answer; --concurrency is for each.", min=1)
    ] = 2,
    ray_vllm: Annotated[
        str,
        typer.Option(
            help="With --ray: what the router gives to this candidate, vLLM on the cluster's GPUs generates, in place "
            "of a URL. MODEL is its name at Hugging Face, or a folder that all machines have.",
            metavar="CANDIDATE=MODEL",
        ),
    ] = "",
    ray_vllm_config: Annotated[
        str,
        typer.Option(
            help="More fields of Ray's vLLMEngineProcessorConfig, such as `concurrency` and `engine_kwargs`.",
            metavar="JSON",
        ),
    ] = "",
    user: As = "",
    group: Group = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Answer a file of requests: retrieval, routing and the log are those of online requests.

    Safe to stop at any time, also by kill -9: the same command again goes on from there, and each custom_id is in the
    output once. Each answer's id takes feedback.

    Exit code 1: some lines failed, or the batch stopped before its end. What to do is said at the end.
    """
    from rungwise_pipelines.batch.local import Task
    from rungwise_pipelines.batch.run import Budget
    from rungwise_pipelines.batch.spread import Spread

    if (ray_vllm and not ray) or (ray_vllm_config and not ray_vllm):
        raise typer.BadParameter("--ray-vllm goes with --ray, and --ray-vllm-config with --ray-vllm")
    candidate, _, source = ray_vllm.partition("=")
    if ray_vllm and not (candidate and source):
        raise typer.BadParameter("--ray-vllm takes CANDIDATE=MODEL")
    errors = errors or output.with_name(f"{output.name.removesuffix('.jsonl')}.errors.jsonl")
    if len({path.absolute() for path in (input, output, errors)}) < 3:
        raise typer.BadParameter("INPUT, OUTPUT and --errors are three files")
    settings = settings_of(config)

    async def run() -> "BatchReport":
        task = Task(
            input=input,
            output=output,
            errors=errors,
            caller=await caller_of(settings, user, group),
            most=concurrency,
            budget=Budget(max_cost, max_tokens),
            timeout=timeout,
            limit=limit,
            retry_failed=retry_failed,
        )
        if not ray:
            return await _run(task, partial(_here, settings, task.caller))
        generation = None
        if ray_vllm:
            from rungwise_pipelines.batch.generate import VLLM, Generation

            generation = Generation(candidate, VLLM(source, ray_vllm_config))
        return await _run(task, partial(_spread, settings, Spread(ray_address, ray_workers), generation))

    try:
        report = asyncio.run(run())
    except KeyboardInterrupt:
        note(f"Stopped. {_AGAIN}")
        raise
    _tell(report, output, errors, as_json)
    if report.left or report.tally.failed:
        raise typer.Exit(1)


async def _run(task: "Task", opened: "Callable[[], AbstractAsyncContextManager[Crew]]") -> "BatchReport":
    from rungwise_pipelines.batch.local import run_batch
    from rungwise_pipelines.batch.progress import Progress
    from rungwise_pipelines.progress import on_stderr

    with on_stderr() as shown:
        return await run_batch(task, opened, Progress(shown))


@asynccontextmanager
async def _here(settings: "Settings", caller: "Caller") -> "AsyncIterator[Crew]":
    """The house, opened in this process."""
    from rungwise_pipelines.batch.ask import Asker
    from rungwise_pipelines.batch.local import Here, sources_url
    from rungwise_pipelines.batch.surfaces import batch_surfaces
    from rungwise_server.bootstrap import open_house

    house = await open_house(settings, role="rungwise batch")
    try:
        yield Here(Asker(house.engine, batch_surfaces(house), caller, sources_url(settings), house.log.flush))
    finally:
        await house.close()


@asynccontextmanager
async def _spread(settings: "Settings", spread: "Spread", generation: "Generation | None") -> "AsyncIterator[Crew]":
    """A Ray cluster, connected when there is something to ask."""
    from rungwise_pipelines.batch.spread import Cluster

    yield Cluster(settings, spread, generation)


def _tell(report: "BatchReport", output: Path, errors: Path, as_json: bool) -> None:
    tally = report.tally
    now = tally.done - report.before
    if as_json:
        emit(
            {
                "end": report.end,
                "lines": report.lines,
                "answered": tally.answered,
                "failed": tally.failed,
                "left": report.left,
                "before": report.before,
                "retries": tally.retries,
                "input_tokens": tally.input_tokens,
                "output_tokens": tally.output_tokens,
                "cached_tokens": tally.cached_tokens,
                "cost": tally.cost,
                "seconds": round(report.seconds, 3),
                "output": str(output),
                "errors": str(errors),
            }
        )
    else:
        from rungwise_pipelines.progress import duration

        rate = f" ({now / report.seconds:.1f}/s)" if now and report.seconds else ""
        earlier = f", {report.before:,} of them earlier" if report.before else ""
        cost = f", cost {tally.cost:,.4f}" if tally.cost else ""
        say(f"{tally.done:,} of {report.lines:,} lines done{earlier}, {duration(report.seconds)}{rate}")
        say(f"{tally.input_tokens:,} tokens in, {tally.output_tokens:,} out{cost}")
        say(f"{tally.answered:,} answers in {output}")
    for line in _advice(report, errors):
        note(line)


def _advice(report: "BatchReport", errors: Path) -> Sequence[str]:
    said = []
    if report.tally.failed:
        said.append(
            f"{report.tally.failed:,} lines failed: {errors} says why. The same command again tries those anew that a "
            "limit, a timeout or a server's error ended; with --retry-failed all."
        )
    left = f"{report.left:,} lines are not done. "
    match report.end:
        case "budget":
            said.append(
                f"{left}The next line might exceed the budget: run the same command with a higher one to go on."
            )
        case "unpriced":
            said.append(
                f"{left}A model's price is not known, so --max-cost cannot be kept: give its candidate a `price` in "
                "rungwise.yaml, or use --max-tokens, and run the command again."
            )
        case "upstream":
            said.append(f"{left}No answer has come for a while: {report.tally.trouble}\n{_AGAIN}")
        case "stopped":
            said.append(left + _AGAIN)
    return said
