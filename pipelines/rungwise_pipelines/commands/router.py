"""`rungwise router`: learn whom to send a request to, from outcomes, and say what that is worth."""

import asyncio
import os
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_pipelines.progress import on_stderr

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from rungwise_pipelines.progress import Shown
    from rungwise_pipelines.routing.learn import Learned
    from rungwise_pipelines.routing.outcomes import Outcomes
    from rungwise_pipelines.routing.report import Report, Said
    from rungwise_server.protocols import Embedder
    from rungwise_server.routing.model_file import About

router = typer.Typer(no_args_is_help=True, help="Whom to send a request to, learned from outcomes.")

ExamplesFile = Annotated[
    Path,
    typer.Option(
        "--examples",
        help='JSON lines: {"id", "prompt", "models": {NAME: {"score": 0..1, "cost": money or null}}, "category"?, '
        '"context"?}; .gz too.',
        metavar="FILE",
    ),
]
Strong = Annotated[str, typer.Option(help="With --weak: only these two candidates.", metavar="NAME")]
Weak = Annotated[str, typer.Option(help="The cheaper one of --strong.", metavar="NAME")]
ByEmbedder = Annotated[
    str, typer.Option("--embedder", help="The embedder must be this one; default: the configured one.", metavar="NAME")
]


@router.callback()
def _router() -> None:
    """Whom to send a request to, learned from outcomes."""


@router.command()
def fit(
    examples: ExamplesFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write the router to.", metavar="DIR")],
    strong: Strong = "",
    weak: Weak = "",
    embedder: ByEmbedder = "",
    seed: Annotated[int, typer.Option(help="For all that is drawn by chance.", min=0)] = 0,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Learn a router from examples with outcomes, and write it to a folder.

    The router estimates how likely each candidate's answer is good enough. The file is small and has no code in it.
    """
    from rungwise_pipelines.routing.calibrate import calibration
    from rungwise_pipelines.routing.learn import learn
    from rungwise_server.routing.model_file import FILE, save

    with on_stderr() as shown:
        outcomes, name = asyncio.run(_outcomes(config, examples, _two(strong, weak), embedder, shown))
        shown.begin("fits", 1)
        learned = learn(outcomes, seed)
        shown.end()
    found = calibration(learned.left_out.ravel(), outcomes.scores.ravel())
    about = _about(name, outcomes, {"ece": found.ece, "brier": found.brier})
    path = output / FILE
    digest = save(path, learned.estimator, about)
    if as_json:
        emit(
            {
                "file": str(path),
                "sha256": digest,
                "bytes": path.stat().st_size,
                "embedder": name,
                "candidates": list(outcomes.candidates),
                "examples": len(outcomes),
                "ece": found.ece,
                "brier": found.brier,
            }
        )
        return
    _told(learned, outcomes, about)
    say(f"Written to {path} ({path.stat().st_size / 1e6:.1f} MB, sha256 {digest[:12]}…).")
    say(f"What it is worth: rungwise router report --examples {examples}")


def _told(learned: "Learned", outcomes: "Outcomes", about: "About") -> None:
    say(f"Learned from {len(outcomes):,} examples with the vectors of {about.embedder}.")
    rows = [
        (name, f"{about.counts[name]:,}", f"{float(learned.estimator.weights.means[i]):.3f}", learned.calibrated[i])
        for i, name in enumerate(outcomes.candidates)
    ]
    table(("candidate", "outcomes", "good enough", "calibrated by"), rows)
    ece, brier = about.calibration["ece"], about.calibration["brier"]
    say(f"On examples left out: calibration error {ece:.3f}, Brier {brier:.3f}.")


@router.command()
def report(
    examples: ExamplesFile,
    folder: Annotated[
        Path | None, typer.Option("--router", help="Measure this one, as it is, on all examples.", metavar="DIR")
    ] = None,
    cv: Annotated[int, typer.Option("--cv", help="Else learn from all folds but one, so many times.", min=2)] = 5,
    seeds: Annotated[int, typer.Option(help="So many times over, with other folds.", min=1)] = 1,
    strong: Strong = "",
    weak: Weak = "",
    svg: Annotated[Path | None, typer.Option(help="Write the reliability curve as a picture.", metavar="FILE")] = None,
    embedder: ByEmbedder = "",
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say what a router is worth: quality against cost, how true its probabilities are, and what simpler ones do.

    APGR and CPT are RouteLLM's: the share of the way from the weak model's quality to the strong one's, on the mean
    over all shares of strong calls, and the share of strong calls that gains 50 or 80 % of it.
    """
    from rungwise_pipelines.routing.report import report as reported
    from rungwise_pipelines.routing.show import as_json as wire
    from rungwise_pipelines.routing.show import picture_of

    two = _two(strong, weak)
    with on_stderr() as shown:
        outcomes, name = asyncio.run(_outcomes(config, examples, two, embedder, shown))
        if folder:
            outcomes, rounds = _as_it_is(folder, name, outcomes, seeds)
        else:
            rounds = _rounds(outcomes, cv, seeds, shown)
    found = reported(outcomes, rounds, 0 if folder else cv, two)
    if svg:
        from rungwise_server.errors import SetupError

        try:
            svg.write_text(picture_of(found.calibration), encoding="utf-8")
        except OSError as error:
            raise SetupError(f"{svg} cannot be written: {error.strerror}.") from None
        note(f"Written to {svg}.")
    if as_json:
        emit(wire(found))
        return
    _show(found)


def _show(found: "Report") -> None:
    from rungwise_pipelines.routing.show import candidate_rows, pair_rows, reliability_lines, spent_rows

    how = f"{found.folds} folds out of fold, {found.seeds} seeds" if found.folds else "as it is"
    say(f"{found.examples:,} examples, {how}; in brackets, 95 % intervals over the prompts.")
    table(("candidate", "score", "cost", "calibration error", "Brier"), candidate_rows(found))
    for pair in found.pairs:
        say()
        say(f"{pair.strong} against {pair.weak}")
        table(("method", "APGR", "CPT(50 %)", "CPT(80 %)"), pair_rows(pair))
    if found.spent:
        say()
        say("Cost of a request while so much of the best candidate's quality is kept (share of its cost)")
        table(("method", *next(iter(found.spent.values()))), spent_rows(found))
    say()
    one = found.calibration
    say(f"Calibration error {one.ece:.3f} ({one.chance:.3f} by chance alone), Brier {one.brier:.4f}")
    for line in (*reliability_lines(one), *found.notes):
        say(line)


def _rounds(outcomes: "Outcomes", cv: int, seeds: int, shown: "Shown") -> "list[Said]":
    from rungwise_pipelines.routing.report import cross_fitted

    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        shown.advance(done)

    shown.begin("fits", cv * seeds)
    rounds = [cross_fitted(outcomes, cv, seed, tell) for seed in range(seeds)]
    shown.end()
    return rounds


def _as_it_is(folder: Path, embedder: str, outcomes: "Outcomes", seeds: int) -> "tuple[Outcomes, list[Said]]":
    """What a router that is there says of all examples, on the candidates that both know."""
    from rungwise_pipelines.routing.report import ROUTER, estimated
    from rungwise_pipelines.routing.rivals import rivals
    from rungwise_server.errors import BadRequest
    from rungwise_server.routing.model_file import load

    estimator, _, _ = load(folder, embedder)
    both = [name for name in outcomes.candidates if name in estimator.candidates]
    if len(both) < 2:
        raise BadRequest(
            f"The router knows {', '.join(estimator.candidates)}, the examples {', '.join(outcomes.candidates)}: "
            "there have to be two candidates that both know."
        )
    outcomes = outcomes.only(both)
    said = estimated(estimator, outcomes)
    others = [rivals(outcomes, outcomes, seed) for seed in range(seeds)]
    # What learns from outcomes would have learned from the very examples that it is asked about.
    fair = ("random", "length", "single", "oracle")
    return outcomes, [{ROUTER: said, **{name: one[name] for name in fair}} for one in others]


def _two(strong: str, weak: str) -> tuple[str, str] | None:
    if bool(strong) != bool(weak) or (strong and strong == weak):
        raise typer.BadParameter("give --strong and --weak together, two different candidates")
    return (strong, weak) if strong else None


async def _outcomes(
    config: Path | None, examples: Path, only: "Sequence[str] | None", embedder: str, shown: "Shown"
) -> "tuple[Outcomes, str]":
    """The examples in numbers, and the name of the embedder that measured them."""
    from rungwise_pipelines.routing.examples import read_examples
    from rungwise_pipelines.routing.outcomes import outcomes_of

    read = read_examples(examples)
    for line in read.notes:
        note(line)
    async with _embedder(config, embedder) as opened:
        return await outcomes_of(read, opened, shown, only), opened.name


@asynccontextmanager
async def _embedder(config: Path | None, wanted: str) -> "AsyncIterator[Embedder]":
    from rungwise_server.bootstrap import open_embedder
    from rungwise_server.errors import EmbedderMismatch

    opened = await open_embedder(settings_of(config), os.environ)
    try:
        if wanted and wanted != opened.name:
            raise EmbedderMismatch(
                f"The configured embedder is {opened.name}, not {wanted}: name the other one in the configuration."
            )
        yield opened
    finally:
        await opened.close()


def _about(embedder: str, outcomes: "Outcomes", calibration: dict[str, float]) -> "About":
    import numpy as np

    from rungwise_server.routing.model_file import About

    known, paid = np.isfinite(outcomes.scores), np.isfinite(outcomes.costs)
    return About(
        embedder,
        datetime.now(UTC).isoformat(timespec="seconds"),
        {name: int(known[:, i].sum()) for i, name in enumerate(outcomes.candidates)},
        {
            name: float(outcomes.costs[paid[:, i], i].mean()) if paid[:, i].any() else None
            for i, name in enumerate(outcomes.candidates)
        },
        calibration,
    )
