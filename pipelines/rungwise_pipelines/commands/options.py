"""The options that several verbs have, and what they lead to."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.output import note

if TYPE_CHECKING:
    from rungwise_server.config.settings import Settings
    from rungwise_server.keys import KeyStore
    from rungwise_server.types import Caller

Config = Annotated[
    Path | None,
    typer.Option(
        "--config", help="The configuration; else RUNGWISE_CONFIG, else ./rungwise.yaml, else defaults.", metavar="FILE"
    ),
]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON on standard output.")]
As = Annotated[str, typer.Option("--as", help="As this user, with the groups of the user's keys.", metavar="USER")]
Group = Annotated[list[str] | None, typer.Option("--group", help="As a member of this group; may be repeated.")]


def settings_of(config: Path | None) -> "Settings":
    """The whole settings. Raises ConfigError."""
    from rungwise_server.config.file import load_settings

    return load_settings(config, os.environ)


@asynccontextmanager
async def open_keys(settings: "Settings") -> "AsyncIterator[KeyStore]":
    """The keys, and nothing else of the house. Raises SetupError, Unavailable."""
    from rungwise_server.bootstrap import open_house_database
    from rungwise_server.keys import KeyStore

    database = await open_house_database(settings)
    try:
        yield KeyStore(database)
    finally:
        database.close()


async def caller_of(settings: "Settings", user: str, groups: Sequence[str] | None) -> "Caller":
    """Whoever `--as` and `--group` name: the user with the groups of all keys that the user has, and `groups`.

    Raises BadRequest for a name that no user or group can have.
    """
    from rungwise_server.errors import BadRequest
    from rungwise_server.types import Caller, principal

    for kind, name in (*((("user", user),) if user else ()), *(("group", group) for group in groups or ())):
        try:
            principal(f"{kind}:{name}")
        except ValueError:
            raise BadRequest(f"{name!r} is no {kind}'s name: it is written without spaces and ':'.") from None
    if not user:
        return Caller(groups=frozenset(groups or ()))
    async with open_keys(settings) as keys:
        mine = [key for key in await keys.list() if key.user == user and not key.revoked_at]
    if not mine:
        note(f"{user} has no key, and so no groups but those given by --group.")
    return Caller(user, frozenset(groups or ()).union(*(key.groups for key in mine)))
