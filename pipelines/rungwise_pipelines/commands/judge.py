"""`rungwise judge`: judges, what they say, and what they are worth."""

import typer

from rungwise_pipelines.commands.judge_align import align
from rungwise_pipelines.commands.judge_certify import certify
from rungwise_pipelines.commands.judge_work import grade, list_judges, queue

judge = typer.Typer(no_args_is_help=True, help="Judges, and what they are worth.")


@judge.callback()
def _judge() -> None:
    """Judges, and what they are worth."""


judge.command("list")(list_judges)
for verb in (grade, certify, queue, align):
    judge.command()(verb)
