"""The command line: every verb registered, errors told without a traceback, Ctrl-C quiet.

Exit codes: 0 done, 1 failed (the message is on standard error), 2 wrong usage, 130 interrupted.
"""

from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rungwise_connectors.types import SourceError
from rungwise_pipelines.commands import options
from rungwise_pipelines.commands.ask import ask
from rungwise_pipelines.commands.batch import batch
from rungwise_pipelines.commands.doctor import doctor
from rungwise_pipelines.commands.eval import evaluation
from rungwise_pipelines.commands.feedback import feedback
from rungwise_pipelines.commands.ingest import ingest
from rungwise_pipelines.commands.init import init
from rungwise_pipelines.commands.judge import judge
from rungwise_pipelines.commands.keys import keys
from rungwise_pipelines.commands.ledger import ledger
from rungwise_pipelines.commands.output import note
from rungwise_pipelines.commands.router import router
from rungwise_pipelines.commands.search import search
from rungwise_pipelines.commands.serve import serve
from rungwise_pipelines.commands.sweep import sweep
from rungwise_pipelines.commands.worker import worker
from rungwise_server.errors import RungwiseError


class Verbs(TyperGroup):
    """Turns the house's errors into a message and an exit code; typer itself ends Ctrl-C quietly, with 130."""

    def invoke(self, ctx: Any) -> object:  # a context of typer's own copy of click
        """Run the verb."""
        try:
            return super().invoke(ctx)
        except (RungwiseError, SourceError) as error:
            note(str(error))
            raise typer.Exit(1) from None


app = typer.Typer(
    name="rungwise",
    cls=Verbs,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rungwise {version('rungwise')}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    config: options.Config = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Ask your own documents through the OpenAI API, and climb to cheaper models with evidence."""
    del show_version
    if config is not None:
        ctx.default_map = _defaults(ctx.command, str(config))


def _defaults(command: object, config: str) -> dict[str, object]:
    """`--config` before the verb is the default of every verb's own `--config`."""
    if isinstance(command, TyperGroup):
        return {name: _defaults(verb, config) for name, verb in command.commands.items()}
    return {"config": config}


for verb in (init, serve, worker, doctor, ingest, search, ask, batch, sweep, ledger):
    app.command()(verb)
app.add_typer(evaluation, name="eval")
app.add_typer(feedback, name="feedback")
app.add_typer(judge, name="judge")
app.add_typer(keys, name="keys")
app.add_typer(router, name="router")


def main() -> None:
    """The entry point `rungwise`."""
    app(prog_name="rungwise")
