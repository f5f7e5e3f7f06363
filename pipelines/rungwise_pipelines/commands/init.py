"""`rungwise init`: a commented configuration to start from."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from rungwise_pipelines.commands.options import Json
from rungwise_pipelines.commands.output import emit, say
from rungwise_server.errors import SetupError


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.", metavar="FILE")] = Path("rungwise.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented rungwise.yaml."""
    text = (files("rungwise_pipelines") / "commands" / "rungwise.yaml").read_text(encoding="utf-8")
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SetupError(f"{path} is there already and was left as it is; --force replaces it.") from None
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
    if as_json:
        emit({"path": str(path)})
    else:
        say(f"Wrote {path}. Next: name your documents under `sources`, then")
        say("  rungwise doctor\n  rungwise ingest\n  rungwise serve")
