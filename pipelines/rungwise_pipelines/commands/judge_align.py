"""`rungwise judge align`: a judge's rubric, examples and model by people's grades, and what the choice is worth."""

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rungwise_pipelines.commands.judge_options import MaxCost, Name, Set, within
from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_pipelines.progress import on_stderr
from rungwise_server.errors import SetupError

if TYPE_CHECKING:
    from rungwise_pipelines.judges.align import Alignment, Wanted
    from rungwise_server.config.settings import JudgeSettings, Settings
    from rungwise_server.judging.certificates.intervals import Interval

By = Literal["kappa", "agreement", "brier"]


def align(
    name: Name,
    eval_set: Set,
    rubrics: Annotated[
        str, typer.Option(help="Prompts to choose among: files of `prompts/`, or built-in ones.", metavar="A,B,…")
    ] = "",
    examples: Annotated[str, typer.Option(help="Numbers of graded examples to choose among.", metavar="N,N,…")] = "",
    candidates: Annotated[str, typer.Option(help="Models to choose among.", metavar="X,Y,…")] = "",
    folds: Annotated[int, typer.Option(help="Parts that the graded answers are cut into.", min=2, max=20)] = 5,
    by: Annotated[By, typer.Option(help="What the choice goes by. Kappa takes nothing for what chance would do.")] = (
        "kappa"
    ),
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Write the snippet and the examples into this folder.", metavar="FOLDER"),
    ] = None,
    max_cost: MaxCost = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Choose what of a judge agrees best with people: wording, examples and model, or a program's threshold.

    Every variant judges the answers that people graded, none shown what it is tried on. The best of many looks better
    than it is: by how much is told. What comes out is a piece of configuration to be reviewed; nothing is changed.
    """
    from rungwise_pipelines.judges.align import Wanted

    wanted = Wanted(_names(rubrics), tuple(_number(each) for each in _names(examples)), _names(candidates), by, folds)
    settings = settings_of(config)
    found = asyncio.run(_aligned(settings, name, eval_set, wanted, max_cost))
    if output:
        _write(output, found)
    if as_json:
        emit(_wire(found))
        return
    _tell(found, output)


async def _aligned(settings: "Settings", name: str, ref: str, wanted: "Wanted", max_cost: float | None) -> "Alignment":
    from rungwise_pipelines.judges.align import align as aligned
    from rungwise_pipelines.judges.answers import answers_of
    from rungwise_pipelines.judges.room import open_room

    for candidate in wanted.candidates:
        if candidate not in settings.candidates or settings.candidates[candidate].kind == "extractive":
            able = [one for one, chosen in settings.candidates.items() if chosen.kind != "extractive"]
            raise typer.BadParameter(
                f"--candidates: {candidate!r} cannot grade; these can: {', '.join(able) or 'none'}"
            )
    async with open_room(settings) as room:
        judge = room.judge(name)
        answers = await answers_of(room.sets, room.log, ref, judge.rubric)
        with on_stderr() as shown:
            return await aligned(room, name, answers, wanted, shown, partial(within, most=max_cost))


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) > 20:
        raise typer.BadParameter(f"--examples takes numbers from 0 to 20, such as 0,2,4: {text!r} is none")
    return int(text)


def _tell(found: "Alignment", output: Path | None) -> None:
    choice = found.choice
    count = f"{len(found.variants)} variants" if len(found.variants) > 1 else "1 variant"
    say(f"{found.name}: {count} on the {found.graded} answers to {found.eval_set} that people graded.")
    for line in found.notes:
        say(f"- {line}")
    ranked = sorted(range(len(found.variants)), key=lambda i: (i != choice.best, -choice.variants[i].score, i))
    rows = []
    for i in ranked[:20]:
        one = choice.variants[i]
        mark = "best" if i == choice.best else "in use" if i == 0 else ""
        cost = found.costs[i]
        rows.append(
            (
                mark,
                *_described(found.variants[i]),
                _of(one.agreement, 100, 0),
                _of(one.kappa, 1, 2),
                f"{one.brier:.3f}",
                str(one.silent or ""),
                "" if cost is None else f"{cost:,.2f}",
            )
        )
    table(
        ("", "prompt", "examples", "model", "threshold", "agreement", "kappa", "brier", "silent", "cost of 1,000"), rows
    )
    say()
    score = {"kappa": "kappa", "agreement": "agreement", "brier": "1 - Brier score"}[choice.by]
    say(
        f"By {score} the best looks like {choice.looks:.2f}. Choosing like this is worth {choice.nested:.2f} "
        f"({choice.low:.2f} to {choice.high:.2f}) on answers that had no say in the choice."
    )
    if len(found.variants) > 1:
        say(f"The best of {len(found.variants)} looks {100 * choice.optimism:.0f} points better than it is.")
    if choice.best == 0:
        say("No variant is better than what is in use: nothing to change.")
        return
    gain = f"{100 * choice.against:+.0f} points ({100 * choice.against_low:+.0f} to {100 * choice.against_high:+.0f})"
    if choice.against_low > 0:
        say(f"It is better than what is in use: {gain}.")
    else:
        say(f"It is not shown to be better than what is in use: {gain}. Grade more, or keep what there is.")
    say()
    say(found.diff)
    say()
    if found.shots:
        where = f"are in {output}" if output else "are written with -o FOLDER"
        say(f"Its {len(found.shots)} examples {where}; they belong into prompts/{found.name}.examples.jsonl.")
    say(f"Once it is in use, it is another judge: `rungwise judge certify {found.name} --eval {found.eval_set}`.")


def _described(variant: "JudgeSettings") -> tuple[str, str, str, str]:
    threshold = "" if variant.threshold is None else f"{variant.threshold:g}"
    if variant.kind != "prompt":
        return ("", "", variant.kind, threshold)
    return (variant.prompt_name, str(variant.examples), variant.candidate, threshold)


def _of(interval: "Interval | None", times: float, digits: int) -> str:
    if interval is None:
        return "unknown"
    low, high = (f"{times * end:.{digits}f}" for end in (interval.low, interval.high))
    return f"{times * interval.estimate:.{digits}f} ({low} to {high})"


def _wire(found: "Alignment") -> Mapping[str, object]:
    import msgspec

    choice = found.choice
    return {
        "judge": found.name,
        "rubric": found.rubric,
        "eval_set": found.eval_set,
        "graded": found.graded,
        "by": choice.by,
        "looks": choice.looks,
        "nested": {"estimate": choice.nested, "low": choice.low, "high": choice.high, "level": choice.level},
        "optimism": choice.optimism,
        "against_in_use": {"estimate": choice.against, "low": choice.against_low, "high": choice.against_high},
        "best": choice.best,
        "variants": [
            {**variant.model_dump(exclude_defaults=True), **msgspec.to_builtins(scored), "cost_of_1000": cost}
            for variant, scored, cost in zip(found.variants, choice.variants, found.costs, strict=True)
        ],
        "config": found.snippet,
        "examples": [shot.inference_id for shot in found.shots],
        "notes": list(found.notes),
    }


def _write(folder: Path, found: "Alignment") -> None:
    from rungwise_server.judging.judges.shown import write_shots

    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rungwise.yaml").write_text(found.snippet, encoding="utf-8")
        if found.shots:
            (folder / "prompts").mkdir(exist_ok=True)
            (folder / "prompts" / f"{found.name}.examples.jsonl").write_bytes(write_shots(found.shots))
    except OSError as error:
        raise SetupError(f"{folder} cannot be written to: {error.strerror}.") from None
    note(f"Written to {folder}.")
