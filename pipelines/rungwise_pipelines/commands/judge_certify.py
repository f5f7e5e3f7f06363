"""`rungwise judge certify`: how far a judge can be trusted, and how good the system is that it judged."""

import asyncio
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.judge_options import MaxCost, Set, affordable, affordable_pairs
from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_pipelines.progress import on_stderr
from rungwise_server.errors import BadRequest, NotFound, SetupError

if TYPE_CHECKING:
    from rungwise_pipelines.judges.answers import Answers
    from rungwise_pipelines.judges.room import Room
    from rungwise_server.config.settings import Settings
    from rungwise_server.judging.certificates.certificate import Certificate, Terms
    from rungwise_server.judging.certificates.grades import Graded
    from rungwise_server.judging.trust import Certified
    from rungwise_server.protocols import Judge, PairJudge

_SHOWN = 90


def certify(
    name: Annotated[str, typer.Argument(help="The judge; with --eval.", metavar="[NAME]")] = "",
    grades: Annotated[
        Path | None,
        typer.Option(
            help='JSON lines: {"id", "human": 0..1 or null, "judge": 0..1, "system"?, ...}; .gz too.', metavar="FILE"
        ),
    ] = None,
    eval_set: Set = "",
    system: Annotated[str, typer.Option(help="Only the answers of this system.")] = "",
    level: Annotated[float, typer.Option(help="Of every interval.", min=0.5, max=0.999)] = 0.95,
    margin: Annotated[
        float,
        typer.Option(help="A judge is trusted when its mean is shown to be this near to people's.", min=0.001, max=0.5),
    ] = 0.05,
    threshold: Annotated[float, typer.Option(help="A grade passes from here on.", min=0.0, max=1.0)] = 0.5,
    ask: Annotated[int, typer.Option("--next", help="Name at most so many items to grade next.", min=0)] = 20,
    judge_file: Annotated[
        Path | None,
        typer.Option(
            "--judge", help="With --grades: the judge's prompt; its hash goes on the certificate.", metavar="FILE"
        ),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with a picture, too.", metavar="FILE")] = None,
    max_cost: MaxCost = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Say how far a judge agrees with people, and how good the judged system is.

    People need to have graded a part only. Five grades already tell something; the interval says how much.

    With NAME and --eval, the judge grades the answers to an eval set that it has not graded yet, and the certificate
    is kept: it holds until the judge or the traffic changes. With --grades, all grades come from a file.
    """
    from rungwise_server.judging.certificates.certificate import Terms

    if bool(grades) == bool(eval_set) or bool(name) != bool(eval_set) or (judge_file and not grades):
        raise typer.BadParameter("give either --grades FILE [--judge FILE], or NAME and --eval SET")
    terms = Terms(level=level, margin=margin, threshold=threshold, next=ask)
    answers, told = None, None
    if grades:
        certificate = _of_file(grades, judge_file, system, terms)
    else:
        settings = settings_of(config)
        answers, certificate, told = asyncio.run(_of_set(settings, name, eval_set, system, terms, max_cost))
    if html:
        _page(html, certificate)
    if as_json:
        from rungwise_server.judging.certificates.wire import as_json as wire

        emit({**wire(certificate), **(_kept(told) if told else {})})
        return
    _show(certificate, ids=bool(grades))
    if answers:
        _next(certificate, answers, name)
    if told and told.verdict == "do not use":
        say(f"Kept as {told.id}: nothing leans on {name} on {told.workload} until a better one is kept.")
    elif told:
        say(f"Kept as {told.id}: valid for {told.workload} until the judge or the traffic changes.")


def _of_file(grades: Path, judge_file: Path | None, system: str, terms: "Terms") -> "Certificate":
    from rungwise_server.judging.certificates.certificate import certify as certified
    from rungwise_server.judging.certificates.grades import read_grades

    graded = _only(read_grades(grades), system)
    return certified(graded, terms, judge_hash=_hash(judge_file) if judge_file else "", grades_hash=_hash(grades))


async def _of_set(
    settings: "Settings", name: str, ref: str, system: str, terms: "Terms", max_cost: float | None
) -> "tuple[Answers, Certificate, Certified | None]":
    """Ask what is not known yet, certify, and keep the certificate; one of a single system is not kept."""
    from rungwise_pipelines.judges.certify import certified_of
    from rungwise_pipelines.judges.room import open_room
    from rungwise_pipelines.judges.traffic import traffic_now

    async with open_room(settings) as room:
        judge: Judge | PairJudge
        if name in room.pairs:
            judge = room.pairs[name]
            answers, certificate = await _of_pairs(room, judge, ref, system, terms, max_cost)
        else:
            judge = room.judge(name)
            answers, certificate = await _of_answers(room, judge, ref, system, terms, max_cost)
        if system:
            note("A certificate of one system alone is shown, and not kept.")
            return answers, certificate, None
        traffic = await traffic_now(answers.of, room.sets, room.trust, room.embedder)
        certified = certified_of(judge, answers, certificate, traffic)
        await room.trust.save(certified)
        return answers, certificate, certified


async def _of_answers(
    room: "Room", judge: "Judge", ref: str, system: str, terms: "Terms", max_cost: float | None
) -> "tuple[Answers, Certificate]":
    from rungwise_pipelines.judges.answers import answers_of, only
    from rungwise_pipelines.judges.ask import judge_all
    from rungwise_pipelines.judges.certify import certificate_of

    answers = only(await answers_of(room.sets, room.log, ref, judge.rubric), system)
    await affordable(judge, answers, room.log, max_cost)
    with on_stderr() as shown:
        judged = await judge_all(judge, answers.things, room.log, shown)
    return answers, certificate_of(judge, answers, judged, terms)


async def _of_pairs(
    room: "Room", judge: "PairJudge", ref: str, system: str, terms: "Terms", max_cost: float | None
) -> "tuple[Answers, Certificate]":
    from rungwise_pipelines.judges.answers import only, pairs_of
    from rungwise_pipelines.judges.certify import certificate_of_pairs
    from rungwise_pipelines.judges.compare import compare_all

    answers = only(await pairs_of(room.sets, room.log, ref, judge.rubric), system)
    await affordable_pairs(judge, answers, room.log, max_cost)
    with on_stderr() as shown:
        compared = await compare_all(judge, answers.things, room.log, shown)
    return answers, certificate_of_pairs(judge, answers, compared, terms)


def _kept(certified: "Certified") -> Mapping[str, object]:
    return {
        "certificate": certified.id,
        "judge": certified.judge,
        "rubric": certified.rubric,
        "workload": certified.workload,
        "eval_set": certified.set_id,
    }


def _next(certificate: "Certificate", answers: "Answers", name: str) -> None:
    """Which answers to grade next, as people know them, and how."""
    from rungwise_pipelines.judges.answers import question_of

    wanted = [id for one in (*certificate.systems, certificate) if one.advice for id in one.advice.ids]
    if not wanted:
        return
    things = {thing.id: thing for thing in answers.things}
    rows = [(" vs ".join(things[id].candidates), question_of(things[id])[:_SHOWN], id) for id in dict.fromkeys(wanted)]
    say("Grade next:")
    table(("candidate", "question", "answer"), rows[: certificate.terms.next])
    say(answers.to_grade)
    say(f"Then: rungwise judge certify {name} --eval {answers.of.name}")
    say()


def _page(html: Path, certificate: "Certificate") -> None:
    from rungwise_server.judging.certificates.page import page_of

    try:
        html.write_text(page_of(certificate), encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{html} cannot be written: {error.strerror}.") from None
    note(f"Written to {html}.")


def _only(graded: "Graded", system: str) -> "Graded":
    from rungwise_server.judging.certificates.grades import Graded

    if system:
        items = tuple(item for item in graded.items if item.system == system)
        if not items:
            names = ", ".join(sorted({item.system for item in graded.items if item.system})) or "none"
            raise NotFound(f"No line has the system {system!r}; systems in the file: {names}.", param="system")
        graded = Graded(items, graded.notes)
    if all(item.judge is None for item in graded.items):
        raise BadRequest('No line has a verdict of the judge ("judge": 0..1): there is nothing to certify.')
    return graded


def _show(certificate: "Certificate", *, ids: bool) -> None:
    from rungwise_server.judging.certificates.show import COLUMNS, lines_of, rows_of

    for one in (*certificate.systems, certificate):
        for line in lines_of(one, ids=ids):
            say(line)
        table(COLUMNS, rows_of(one))
        say()
    if certificate.ranking:
        say("Systems by quality; places that the evidence leaves open:")
        rows = [
            (
                str(rank.place),
                rank.system or "(no name)",
                f"{100 * rank.quality.estimate:.1f}",
                f"{100 * rank.quality.low:.1f} to {100 * rank.quality.high:.1f}",
                f"{rank.best} to {rank.worst}" if rank.best < rank.worst else str(rank.best),
            )
            for rank in certificate.ranking
        ]
        table(("", "system", "quality", "interval", "places"), rows)


def _hash(path: Path) -> str:
    try:
        return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
