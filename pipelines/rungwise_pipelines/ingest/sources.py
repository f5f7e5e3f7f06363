"""From settings, or a path, to sources: the only place in pipelines that names concrete connectors."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from pathlib import Path

from rungwise_connectors.folder import Folder
from rungwise_connectors.parsers.formats import ENDINGS
from rungwise_connectors.records import Records
from rungwise_connectors.types import Connector
from rungwise_pipelines.ingest.sync import Source
from rungwise_server.config.settings import Settings, SourceSettings
from rungwise_server.errors import ConfigError
from rungwise_server.types import principal

_RECORDS = (".jsonl", ".jsonl.gz")


def configured(settings: Settings, names: Sequence[str]) -> list[Source]:
    """The sources of these names, all of them where none is given.

    Raises:
        ConfigError: there is none of that name, or a source's readers are none.
    """
    for name in names:
        if name not in settings.sources:
            near = get_close_matches(name, settings.sources, 1)
            meant = f" Did you mean {near[0]!r}?" if near else ""
            known = f" There are: {', '.join(settings.sources)}." if settings.sources else ""
            raise ConfigError(
                f"there is no source {name!r}: add it to `sources` in rungwise.yaml, or give --path.{meant or known}"
            )
    return [_source(name, settings.sources[name], settings.base) for name in dict.fromkeys(names or settings.sources)]


def from_path(path: Path, collection: str, readers: Iterable[str]) -> Source:
    """A folder, a file or records as a source. Its name follows from the place and the collection: two paths never
    take each other's documents away, and the same one is the same source in every run.

    Raises:
        ConfigError: there is nothing at the path, or a reader's name is none.
    """
    place = path.expanduser().resolve()
    if not place.exists():
        raise ConfigError(f"there is nothing at {path}: give a folder, a file, or records as .jsonl or .jsonl.gz")
    digest = blake2b(f"{place}\0{collection}".encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    connector = _at(f"path:{place.name or 'root'}-{digest}", place)
    return Source(connector, collection, readers_of(readers), _nothing(place), place)


def readers_of(names: Iterable[str]) -> frozenset[str]:
    """The principals that names mean. Raises ConfigError."""
    try:
        return frozenset(principal(name) for name in names)
    except ValueError as error:
        raise ConfigError(f"readers: {error}") from None


def _source(name: str, settings: SourceSettings, base: Path) -> Source:
    place = base / Path(settings.path).expanduser()
    connector: Connector
    match settings.kind:
        case "folder":
            connector = Folder(name, place, include=settings.include, exclude=settings.exclude)
        case "records":
            connector = Records(name, place)
    return Source(connector, settings.collection, readers_of(settings.readers), _nothing(place), place.resolve())


def _at(name: str, place: Path) -> Connector:
    if place.is_file() and place.name.lower().endswith(_RECORDS):
        return Records(name, place)
    return Folder(name, place)


def _nothing(place: Path) -> str:
    endings = " ".join([*ENDINGS, *_RECORDS])
    return f"no documents found in {place} that can be read: their names end in {endings}"
