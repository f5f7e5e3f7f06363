"""What is configured, reachable and missing, and what to do about it. Each part is looked at even if another is ill."""

import asyncio
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Literal

from msgspec import Struct

from rungwise_server import bootstrap
from rungwise_server.config.settings import CandidateSettings, Secret, Settings, SourceSettings
from rungwise_server.errors import RungwiseError, Unavailable
from rungwise_server.keys import KeyStore
from rungwise_server.retrieval.indexes.remote import RemoteIndex
from rungwise_server.serve import is_loopback

TIMEOUT = 5.0
"""Seconds that something remote has to answer in."""

LOW_DISK = 1_000_000_000


class Check(Struct, frozen=True):
    """What was found of one part; `fix` says what to do where something is wrong."""

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    fix: str = ""


async def examine(settings: Settings, environ: Mapping[str, str], file: Path | None) -> list[Check]:
    """Look at every part; the order is that in which they build on each other."""
    found = [
        Check("configuration", "ok", f"{file} is valid" if file else "no file: the defaults serve"),
        _home(settings),
    ]
    for name, look in (("database", _database), ("embedder", _embedder), ("index", _index), ("keys", _keys)):
        found += await _guarded(name, look, settings, environ)
    found += [_source(name, source, settings.base) for name, source in settings.sources.items()]
    calls = (_candidate(name, chosen, settings, environ) for name, chosen in settings.candidates.items())
    return found + list(await asyncio.gather(*calls))


Look = Callable[[Settings, Mapping[str, str]], Awaitable[list[Check]]]


async def _guarded(name: str, look: Look, settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """What `look` says; an error's own message already tells what to do."""
    try:
        return await look(settings, environ)
    except RungwiseError as error:
        return [Check(name, "fail", error.message)]
    except OSError as error:
        return [Check(name, "fail", str(error), "Check that RUNGWISE_HOME may be written to.")]


def _home(settings: Settings) -> Check:
    home = settings.home
    try:
        home.mkdir(parents=True, exist_ok=True)
        probe = home / f".doctor-{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
        free = shutil.disk_usage(home).free
    except OSError as error:
        return Check("home", "fail", f"{home}: {error.strerror}", "Set RUNGWISE_HOME to a folder that can be written.")
    told = f"{home} can be written, {free / 1e9:.1f} GB free"
    if free < LOW_DISK:
        return Check("home", "warn", told, "Free some space: 200,000 passages take about 600 MB.")
    return Check("home", "ok", told)


async def _database(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    database = await bootstrap.open_house_database(settings, environ)
    database.close()
    # The URL may carry a password.
    where = "PostgreSQL" if settings.log.url_env or settings.log.url else str(settings.home / "rungwise.db")
    return [Check("database", "ok", f"{where} is open and up to date")]


async def _embedder(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    began = time.perf_counter()
    embedder = await bootstrap.open_embedder(settings, environ)
    try:
        vectors = await embedder.embed(["Is anybody there?"], "query")
    finally:
        await embedder.close()
    seconds = time.perf_counter() - began
    return [Check("embedder", "ok", f"{embedder.name}, {vectors.shape[1]} dimensions, first vector in {seconds:.1f} s")]


async def _index(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    told = settings.index.url or await _holder(settings.home)
    index = await bootstrap.open_index(settings, environ, role="rungwise doctor")
    try:
        found = [Check("index", "ok", told)]
        for name in settings.collections:
            count = await index.count(name) if await index.describe(name) else 0
            if count:
                found.append(Check(f"collection {name}", "ok", f"{count} passages"))
            else:
                fix = f"`rungwise ingest --path FOLDER --collection {name} --readers everyone`, or name a source."
                if any(source.collection == name for source in settings.sources.values()):
                    fix = "`rungwise ingest` reads its sources."
                found.append(Check(f"collection {name}", "warn", "empty", fix))
        if settings.embedder.kind != "openai":  # a remote one was looked at already, and may be down
            embedder = await bootstrap.open_embedder(settings, environ)
            await bootstrap.check_collections(settings, index, embedder)
            await embedder.close()
        return found
    finally:
        await index.close()


async def _holder(home: Path) -> str:
    """Where the embedded index is, and which process has it open."""
    remote = RemoteIndex(home / "index.sock")
    try:
        owner = await remote.connect()
    except Unavailable:
        return f"{home / 'index'} opens; no other process has it"
    finally:
        await remote.close()
    return f"{home / 'index'} is open in process {owner.pid} ({owner.role}), which shares it"


async def _keys(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    host = settings.server.host
    database = await bootstrap.open_house_database(settings, environ)
    try:
        count = len(await KeyStore(database).list())
    finally:
        database.close()
    if count:
        return [Check("keys", "ok", f"{count}; every request needs one")]
    if is_loopback(host):
        return [Check("keys", "ok", f"none: everyone on this machine may ask, and {host} lets nobody else in")]
    fix = "`rungwise keys create --user NAME --admin` makes one; or set server.host to 127.0.0.1."
    return [Check("keys", "fail", f"none, and {host} is open to others: `rungwise serve` will refuse", fix)]


def _source(name: str, source: SourceSettings, base: Path) -> Check:
    label, path = f"source {name}", base / source.path
    if not path.exists():
        return Check(label, "fail", f"{path} is not there", f"Mend sources.{name}.path; it starts from {base}.")
    if not os.access(path, os.R_OK):
        return Check(label, "fail", f"{path} may not be read", "Give the user that ingests the right to read it.")
    if source.kind == "records" and not path.is_file():
        return Check(label, "fail", f"{path} is no file", "Point it at a .jsonl or .jsonl.gz, or use `kind: folder`.")
    if not source.readers:
        fix = f"Documents that do not name their readers are left out: set sources.{name}.readers to catch them."
        return Check(label, "warn" if source.kind == "folder" else "ok", f"{path}, no readers", fix)
    return Check(label, "ok", f"{path}, for {', '.join(source.readers)} where a document says nothing else")


async def _candidate(name: str, candidate: CandidateSettings, settings: Settings, environ: Mapping[str, str]) -> Check:
    label = f"candidate {name}"
    if candidate.kind == "extractive":
        return Check(label, "ok", "extractive, embedded")
    try:
        key = bootstrap.secret(candidate, settings, environ)
    except RungwiseError as error:
        return Check(label, "fail", error.message)
    if missing := _missing(candidate, key):
        return Check(label, "fail", missing, f"Set it, or mend candidates.{name}.")
    if candidate.kind == "litellm":
        if find_spec("litellm") is None:
            return Check(label, "fail", "litellm is not installed", "Install rungwise with its dependencies.")
        return Check(label, "ok", f"{candidate.model}; not called, since a call costs money")
    return await asyncio.to_thread(_listed, label, candidate, key)


def _missing(holder: Secret, key: str) -> str:
    if key:
        return ""
    if holder.api_key_env:
        return f"{holder.api_key_env} is not set"
    return f"{holder.api_key_file} is empty" if holder.api_key_file else ""


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the key is for the configured host alone."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> None:
        """Refuse."""


def _listed(label: str, candidate: CandidateSettings, key: str) -> Check:
    """Ask the server which models it has."""
    url = f"{candidate.url.rstrip('/')}/models"
    headers = {**candidate.headers, **({"authorization": f"Bearer {key}"} if key else {})}
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http(s) only, held by the configuration
        with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT) as response:
            told = json.loads(response.read(4_000_000))
        models = [str(entry["id"]) for entry in told["data"]]
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403):
            holder = candidate.api_key_env or candidate.api_key_file or "api_key_env (none is given)"
            return Check(label, "fail", f"{url} refuses the key ({error.code})", f"Check {holder}.")
        return Check(label, "warn", f"{url} answers {error.code}", "Some servers list no models: ask it a question.")
    except (ValueError, KeyError, TypeError):
        return Check(label, "warn", f"{url} answers, but not with OpenAI's list of models", "Does the URL end in /v1?")
    except OSError as error:
        reason = getattr(error, "reason", None) or error
        return Check(label, "fail", f"{candidate.url} does not answer: {reason}", "Start it, or mend its url.")
    if candidate.model and candidate.model not in models:
        there = ", ".join(models[:5]) or "none"
        return Check(label, "warn", f"{candidate.url} lists no {candidate.model}", f"It lists {there}.")
    return Check(label, "ok", f"{candidate.url} serves {candidate.model or (models[0] if models else 'nothing')}")
