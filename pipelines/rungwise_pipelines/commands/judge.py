"""`rungwise judge`: how far a judge can be trusted, and how good the system is that it judged."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Json
from rungwise_pipelines.commands.output import emit, note, say, table
from rungwise_server.errors import BadRequest, NotFound, SetupError

if TYPE_CHECKING:
    from rungwise_server.judging.certificates.certificate import Certificate
    from rungwise_server.judging.certificates.grades import Graded

judge = typer.Typer(no_args_is_help=True, help="Judges, and what they are worth.")


@judge.callback()
def _judge() -> None:
    """Judges, and what they are worth."""


@judge.command()
def certify(
    grades: Annotated[
        Path,
        typer.Option(
            help='JSON lines: {"id", "human": 0..1 or null, "judge": 0..1, "system"?, ...}; .gz too.', metavar="FILE"
        ),
    ],
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
        typer.Option("--judge", help="The judge's prompt: its hash goes on the certificate.", metavar="FILE"),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page with a picture, too.", metavar="FILE")] = None,
    as_json: Json = False,
) -> None:
    """Say how far a judge agrees with people, and how good the judged system is.

    People need to have graded a part only. Five grades already tell something; the interval says how much.
    """
    from rungwise_server.judging.certificates.certificate import Terms, certify
    from rungwise_server.judging.certificates.grades import read_grades
    from rungwise_server.judging.certificates.page import page_of
    from rungwise_server.judging.certificates.wire import as_json as told

    graded = _only(read_grades(grades), system)
    terms = Terms(level=level, margin=margin, threshold=threshold, next=ask)
    certificate = certify(graded, terms, judge_hash=_hash(judge_file) if judge_file else "", grades_hash=_hash(grades))
    if html:
        try:
            html.write_text(page_of(certificate), encoding="utf-8")
        except OSError as error:
            raise SetupError(f"{html} cannot be written: {error.strerror}.") from None
        note(f"Written to {html}.")
    if as_json:
        emit(told(certificate))
        return
    _show(certificate)


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


def _show(certificate: "Certificate") -> None:
    from rungwise_server.judging.certificates.show import COLUMNS, lines_of, rows_of

    for one in (*certificate.systems, certificate):
        for line in lines_of(one):
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
