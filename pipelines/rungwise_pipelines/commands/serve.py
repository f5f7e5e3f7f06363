"""`rungwise serve`: the server, and what to do with it."""

import asyncio
import logging
import os
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import Config, Json, settings_of
from rungwise_pipelines.commands.output import emit, say

if TYPE_CHECKING:
    from rungwise_server.bootstrap import House

WELCOME = """\
Rungwise answers at {url}

  in a browser   {url}/
  with curl      curl {url}/v1/chat/completions{curl_key} -H 'content-type: application/json' \\
                   -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "{question}"}}]}}'
  in Python      from openai import OpenAI
                 client = OpenAI(base_url="{url}/v1", api_key="{key}")
                 answer = client.chat.completions.create(
                     model="{model}", messages=[{{"role": "user", "content": "{question}"}}])
                 print(answer.choices[0].message.content)
"""


def serve(
    config: Config = None,
    host: Annotated[str, typer.Option(help="Address to bind; else the configuration's.", show_default=False)] = "",
    port: Annotated[
        int | None, typer.Option(help="TCP port, 0 for a free one; else the configuration's.", min=0, max=65535)
    ] = None,
    worker: Annotated[
        bool | None,
        typer.Option(
            "--worker/--no-worker", help="Start a worker beside the server; else as configured.", show_default=False
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Serve the OpenAI API and the page, with a worker beside it for uploads and batches."""
    from rungwise_pipelines.work.keeper import Keeper, worker_command
    from rungwise_server.serve import run

    settings = settings_of(config)
    given = {key: value for key, value in (("host", host or None), ("port", port)) if value is not None}
    settings = settings.model_copy(update={"server": settings.server.model_copy(update=given)})
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    telling: set[asyncio.Task[None]] = set()
    keeper = Keeper(worker_command(str(config) if config else None))

    def ready(url: str, house: "House") -> None:
        # Kept: the loop alone would let go of the task.
        telling.add(asyncio.get_running_loop().create_task(_tell(url, house, as_json)))
        if settings.server.worker if worker is None else worker:
            keeper.start()

    run(settings, ready, keeper)


async def _tell(url: str, house: "House", as_json: bool) -> None:
    """Say what to do with the server that is ready now."""
    counts = {name: await house.index.count(name) for name in house.settings.collections}
    models = house.engine.models()
    if as_json:
        emit({"url": url, "models": models, "collections": counts, "keys": await house.keys.any()})
        return
    shown = url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    keyed = await house.keys.any()
    say(
        WELCOME.format(
            url=shown,
            model=models[0],
            question="What do our documents say about holidays?",
            key="YOUR KEY" if keyed else "none",
            curl_key=" -H 'authorization: Bearer YOUR KEY'" if keyed else "",
        )
    )
    say(f"Models: {', '.join(models)}")
    say("Collections: " + (", ".join(f"{name} ({count} passages)" for name, count in counts.items()) or "none"))
    for name in (name for name, count in counts.items() if not count):
        say(f"Nothing is in {name} yet: {_how_to_fill(name, house)}")
    for name, candidate in house.settings.candidates.items():
        if candidate.api_key_env and not os.environ.get(candidate.api_key_env):
            say(f"{name} has no key: {candidate.api_key_env} is not set, and its provider will refuse what is asked.")
    if not keyed:
        say("Without any API key only this machine may ask, as everyone: `rungwise keys create --user NAME` makes one.")
    say("Ctrl-C stops it.")


def _how_to_fill(collection: str, house: "House") -> str:
    named = [name for name, source in house.settings.sources.items() if source.collection == collection]
    if named:
        return f"`rungwise ingest {' '.join(named)}` reads its sources; the server goes on meanwhile."
    return f"`rungwise ingest --path FOLDER --collection {collection} --readers everyone` reads a folder."
