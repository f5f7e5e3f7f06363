"""`rungwise doctor`: what is configured, reachable and missing, and what to do about it."""

import asyncio
import os

import typer

from rungwise_pipelines.commands.options import Config, Json
from rungwise_pipelines.commands.output import emit, say, table
from rungwise_server.errors import ConfigError

STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(config: Config = None, as_json: Json = False) -> None:
    """Say what is configured, reachable and missing, and what to do about it."""
    from rungwise_pipelines.doctor import Check, examine
    from rungwise_server.config.file import find_file, load_settings

    try:
        settings = load_settings(config, os.environ)
        checks = asyncio.run(examine(settings, os.environ, find_file(config, os.environ)))
    except ConfigError as error:
        checks = [
            Check("configuration", "fail", error.message, "Mend the lines named; `rungwise init` shows every key.")
        ]
    failed = any(check.status == "fail" for check in checks)
    if as_json:
        rows = [{"name": c.name, "status": c.status, "detail": c.detail, "fix": c.fix} for c in checks]
        emit({"ok": not failed, "checks": rows})
    else:
        table(("", "what", "found"), [(c.status, c.name, c.detail) for c in checks], STYLES)
        for check in checks:
            if check.fix and check.status != "ok":
                say(f"{check.name}: {check.fix}")
    if failed:
        raise typer.Exit(1)
