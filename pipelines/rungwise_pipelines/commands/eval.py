"""`rungwise eval`: eval sets, grades, runs and comparisons."""

import typer

from rungwise_pipelines.commands.eval_grade import grade
from rungwise_pipelines.commands.eval_report import compare, report
from rungwise_pipelines.commands.eval_run import run
from rungwise_pipelines.commands.eval_sets import add, export, freeze, list_, new, remove, show

evaluation = typer.Typer(no_args_is_help=True, help="Eval sets: questions, grades, runs, comparisons.")


@evaluation.callback()
def _evaluation() -> None:
    """Eval sets: questions, grades, runs, comparisons."""


for verb in (new, add, show, freeze, remove, export, grade, run, report, compare):
    evaluation.command()(verb)
evaluation.command("list")(list_)
