"""`rungwise keys`: who may ask, and in whose name. Only a key's hash is kept."""

import asyncio
import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, open_keys, settings_of
from rungwise_pipelines.commands.output import emit, note, say, table

if TYPE_CHECKING:
    from rungwise_server.config.settings import Settings

keys = typer.Typer(no_args_is_help=True, help="API keys: who may ask, in whose name.")


@keys.command()
def create(
    user: Annotated[str, typer.Option(help="Whose key it is.", metavar="USER")],
    group: Annotated[list[str] | None, typer.Option(help="A group of the user; may be repeated.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="May see what others asked and said.")] = False,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, once."""
    asyncio.run(_create(settings_of(config), user, frozenset(group or ()), admin, as_json))


@keys.command("list")
def list_keys(config: Config = None, as_json: Json = False) -> None:
    """List the keys there are, without their secrets."""
    asyncio.run(_list(settings_of(config), as_json))


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that `rungwise keys list` shows.", metavar="ID")],
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Make a key worthless, for ever."""
    asyncio.run(_revoke(settings_of(config), key_id, as_json))


async def _create(settings: "Settings", user: str, groups: frozenset[str], admin: bool, as_json: bool) -> None:
    async with open_keys(settings) as store:
        key, secret = await store.create(user, groups, admin=admin)
    if as_json:
        emit({"id": key.id, "key": secret, "user": user, "groups": sorted(groups), "admin": admin})
        return
    say(secret)
    note(
        f"This is the key of {user}, shown this once; its id is {key.id}. Clients send it as `Authorization: Bearer …`."
    )


async def _list(settings: "Settings", as_json: bool) -> None:
    async with open_keys(settings) as store:
        found = await store.list()
    if as_json:
        for key in found:
            emit(
                {
                    "id": key.id,
                    "user": key.user,
                    "groups": sorted(key.groups),
                    "admin": key.admin,
                    "created_at": key.created_at,
                    "revoked_at": key.revoked_at or None,
                }
            )
        return
    if not found:
        say("There is no key yet: everyone on this machine may ask. `rungwise keys create --user NAME` makes one.")
        return
    rows = [
        (
            key.id,
            key.user,
            ", ".join(sorted(key.groups)),
            "admin" if key.admin else "",
            _day(key.created_at),
            _day(key.revoked_at),
        )
        for key in found
    ]
    table(("id", "user", "groups", "", "made", "revoked"), rows)


def _day(at: float) -> str:
    return datetime.datetime.fromtimestamp(at).isoformat(" ", "minutes") if at else ""


async def _revoke(settings: "Settings", key_id: str, as_json: bool) -> None:
    async with open_keys(settings) as store:
        await store.revoke(key_id)
    if as_json:
        emit({"id": key_id, "revoked": True})
    else:
        say(f"Revoked {key_id}. A running server refuses it within five seconds.")
