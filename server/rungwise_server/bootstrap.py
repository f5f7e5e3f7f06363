"""Settings to a running house: the only file that names concrete classes.

Each `open_*` opens one part; a command that needs one part opens that alone. Vendors are imported as their part is
opened, so that `rungwise keys list` does not load an embedding model.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from rungwise_server.config.settings import CandidateSettings, RouteSettings, Secret, Settings, WorkloadSettings
from rungwise_server.database import Database, open_database
from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.errors import ConfigError, EmbedderMismatch, SetupError
from rungwise_server.http.client import HttpClient
from rungwise_server.keeping import JobQueue, KeptStore
from rungwise_server.keys import KeyStore
from rungwise_server.log.sql import SqlLog
from rungwise_server.metrics import Metrics
from rungwise_server.models.moderations import Moderations
from rungwise_server.models.prices import Prices
from rungwise_server.prompt import Prompt, load_prompt
from rungwise_server.protocols import ChatModel, Embedder, InferenceLog, PassageIndex, Reranker, Retriever, Router
from rungwise_server.records import Inference
from rungwise_server.routing.housekeeping import Housekeeping
from rungwise_server.routing.rules import Pinned, Rules, When
from rungwise_server.store.blobs import FolderBlobs
from rungwise_server.store.queue import SqlQueue
from rungwise_server.store.sql import SqlKept
from rungwise_server.types import CollectionSpec, Price, Search


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that serves, opened; `close` lets go of it in the order in which nothing is lost."""

    settings: Settings
    engine: Engine
    index: PassageIndex
    embedder: Embedder
    database: Database
    log: SqlLog
    keys: KeyStore
    metrics: Metrics
    client: HttpClient
    kept: KeptStore
    blobs: FolderBlobs
    queue: JobQueue
    reranker: Reranker
    moderations: Moderations | None

    async def close(self) -> None:
        """Drain the log, then close what it and the answers came from."""
        await self.client.close()
        await self.log.close()
        await self.index.close()
        await self.embedder.close()
        await asyncio.to_thread(self.database.close)


async def open_house(settings: Settings, environ: Mapping[str, str] = os.environ, *, role: str = "serve") -> House:
    """Open everything that answering needs.

    Raises:
        SetupError: a part cannot be opened as configured; the message says what to do.
        IndexBusy: another process holds the embedded index and does not share it.
    """
    embedder = await open_embedder(settings, environ)
    index = await open_index(settings, environ, role=role)
    try:
        await check_collections(settings, index, embedder)
        # Answers must go on while the database is down, also after a restart: rows wait in the spool.
        database = await open_house_database(settings, environ, required=False)
    except BaseException:
        await index.close()
        raise
    log = open_log(settings, database)
    keys = KeyStore(database)
    metrics = Metrics()
    client = HttpClient()
    engine = build_engine(settings, index, embedder, log, client=client, observe=metrics.observe, environ=environ)
    return House(
        settings=settings,
        engine=engine,
        index=index,
        embedder=embedder,
        database=database,
        log=log,
        keys=keys,
        metrics=metrics,
        client=client,
        kept=open_kept(database),
        blobs=open_blobs(settings),
        queue=open_queue(database),
        reranker=open_reranker(settings, embedder, client, environ),
        moderations=open_moderations(settings, client, environ),
    )


async def open_embedder(settings: Settings, environ: Mapping[str, str] = os.environ) -> Embedder:
    """The one embedder that passages and queries share."""
    chosen = settings.embedder
    match chosen.kind:
        case "minilm":
            from rungwise_server.retrieval.embedders.minilm import MiniLM

            return MiniLM()
        case "onnx":
            from rungwise_server.retrieval.embedders.onnx import open_folder

            return open_folder(
                settings.base / chosen.path,
                pooling=chosen.pooling,
                max_tokens=chosen.max_tokens,
                query_prefix=chosen.query_prefix,
                passage_prefix=chosen.passage_prefix,
                languages=frozenset(chosen.languages),
            )
        case "openai":
            from rungwise_server.retrieval.embedders.openai import OpenAIEmbeddings

            return await OpenAIEmbeddings.open(
                url=chosen.url,
                model=chosen.model,
                api_key=secret(chosen, settings, environ),
                dimensions=chosen.dimensions,
                query_prefix=chosen.query_prefix,
                passage_prefix=chosen.passage_prefix,
                languages=frozenset(chosen.languages),
            )


def embedder_names(settings: Settings, embedder: Embedder) -> tuple[str, ...]:
    """What clients may ask for the embedder as: the model's name, that with its preparation, the aliases."""
    chosen = settings.embedder
    match chosen.kind:
        case "openai":
            model = chosen.model
        case "onnx":
            model = (settings.base / chosen.path).resolve().name
        case "minilm":
            model = embedder.name.partition("/")[0]
    return tuple(dict.fromkeys([model, embedder.name, *chosen.aliases]))


def open_reranker(
    settings: Settings, embedder: Embedder, client: HttpClient, environ: Mapping[str, str] = os.environ
) -> Reranker:
    """What orders documents for clients."""
    chosen = settings.reranker
    if chosen.url:
        from rungwise_server.retrieval.rerank_upstream import UpstreamReranker

        return UpstreamReranker(chosen.url, chosen.model, api_key=secret(chosen, settings, environ), client=client)
    from rungwise_server.retrieval.rerank import HybridReranker
    from rungwise_server.retrieval.sparse import Bm25Encoder

    return HybridReranker(embedder, Bm25Encoder())


def open_moderations(
    settings: Settings, client: HttpClient, environ: Mapping[str, str] = os.environ
) -> Moderations | None:
    """The moderations of the candidate that is configured for it, or of the first at OpenAI itself."""
    candidates = settings.candidates
    ours = (n for n, c in candidates.items() if urlsplit(c.url).hostname == "api.openai.com")
    name = settings.moderations or next(ours, "")
    if not name:
        return None
    chosen = candidates[name]
    return Moderations(
        chosen.url,
        api_key=secret(chosen, settings, environ),
        headers=chosen.headers,
        timeout=chosen.timeout,
        connect_timeout=chosen.connect_timeout,
        client=client,
    )


async def open_index(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, role: str = "command"
) -> PassageIndex:
    """The index: a Qdrant server, or the embedded one - this process's own, or that of the process that has it open.

    `role` is what others are told that holds it.
    """
    if settings.index.kind == "qdrant":
        from rungwise_server.retrieval.indexes.qdrant import QdrantIndex

        chosen = settings.index
        return QdrantIndex(
            url=chosen.url, api_key=secret(chosen, settings, environ), prefix=chosen.prefix, timeout=chosen.timeout
        )
    from rungwise_server.retrieval.indexes.shared import open_embedded

    return await open_embedded(settings.home / "index", settings.home / "index.sock", role)


async def optimise(index: PassageIndex, collection: str) -> None:
    """Build the search graph of a collection, in a process of its own, where this process holds the embedded index;
    elsewhere nothing happens: a Qdrant server sees to it itself, and a process that serves never does it.

    Raises:
        SetupError: the graph could not be built; the collection is as it was.
        Unavailable: there is no room for the copy that it is built on.
    """
    from rungwise_server.retrieval.indexes.shared import SharedIndex

    if isinstance(index, SharedIndex) and index.own is not None and await index.describe(collection) is not None:
        await index.own.optimise(collection)


async def check_collections(settings: Settings, index: PassageIndex, embedder: Embedder) -> None:
    """Refuse to search collections with vectors of another model.

    Raises:
        EmbedderMismatch: naming the collection, both embedders and the ways out.
    """
    ours = collection_spec(embedder)
    for name in settings.collections:
        spec = await index.describe(name)
        if spec is None:
            continue
        for what, theirs, configured in (
            ("the embedder", f"{spec.embedder} ({spec.dimensions})", f"{ours.embedder} ({ours.dimensions})"),
            ("the term encoder", spec.sparse, ours.sparse),
        ):
            if theirs != configured:
                raise EmbedderMismatch(
                    f"Collection {name!r} was filled with {what} {theirs}, and this server has {configured}. Fill it "
                    f"anew with `rungwise ingest --rebuild`, or go back to what filled it."
                )


def collection_spec(embedder: Embedder) -> CollectionSpec:
    """What a collection that this house fills is made for."""
    from rungwise_server.retrieval.sparse import Bm25Encoder

    return CollectionSpec(embedder.name, embedder.dimensions, Bm25Encoder().name)


async def open_house_database(
    settings: Settings, environ: Mapping[str, str] = os.environ, *, required: bool = True
) -> Database:
    """The database of the log, the keys and the state of sources."""
    url = environ.get(settings.log.url_env, "") if settings.log.url_env else settings.log.url
    if settings.log.url_env and not url:
        raise SetupError(f"log.url_env names {settings.log.url_env}, which is not set. Set it to the database's URL.")
    if not url:
        settings.home.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{(settings.home / 'rungwise.db').resolve()}"
    return await asyncio.to_thread(open_database, url, required=required)


def open_log(settings: Settings, database: Database) -> SqlLog:
    """The log over `database`, with its spool in RUNGWISE_HOME."""
    return SqlLog(database, settings.home / "spool")


def open_kept(database: Database) -> KeptStore:
    """What is kept for clients, in `database`."""
    return SqlKept(database)


def open_blobs(settings: Settings) -> FolderBlobs:
    """The bytes of uploads, in RUNGWISE_HOME."""
    return FolderBlobs(settings.home / "files")


def open_queue(database: Database) -> JobQueue:
    """The work that waits for workers, in `database`."""
    return SqlQueue(database)


def open_retriever(index: PassageIndex, embedder: Embedder, collections: tuple[str, ...]) -> Retriever:
    """Hybrid retrieval over `collections`."""
    from rungwise_server.retrieval.hybrid import Hybrid
    from rungwise_server.retrieval.sparse import Bm25Encoder

    return Hybrid(index, embedder, Bm25Encoder(), collections)


def open_search(index: PassageIndex, embedder: Embedder, search: Search) -> Retriever:
    """Hybrid retrieval as a client asks for it."""
    from rungwise_server.retrieval.hybrid import Hybrid
    from rungwise_server.retrieval.sparse import Bm25Encoder

    return Hybrid(index, embedder, Bm25Encoder(), search.collections, search.filter, search.threshold)


def secret(holder: Secret, settings: Settings, environ: Mapping[str, str]) -> str:
    """The secret that a section names; empty where it names none, or a variable that is not set. A file's path is
    relative to the configuration's folder.

    Raises:
        SetupError: the file that it names cannot be read.
    """
    if holder.api_key_file:
        try:
            return (settings.base / holder.api_key_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SetupError(f"cannot read the key file {holder.api_key_file}: {error.strerror}") from None
    return environ.get(holder.api_key_env, "") if holder.api_key_env else ""


def build_engine(
    settings: Settings,
    index: PassageIndex,
    embedder: Embedder,
    log: InferenceLog,
    *,
    client: HttpClient,
    observe: Callable[[Inference], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
) -> Engine:
    """The engine over opened parts."""
    if not settings.workloads:
        raise ConfigError("there is no workload: name one under `workloads`")
    prompts = settings.base / "prompts"
    models = {name: _model(c, settings, embedder, client, environ) for name, c in settings.candidates.items()}
    prices = Prices()
    candidates = {
        name: Candidate(
            name,
            _with_fallback(name, settings, models),
            load_prompt(chosen.prompt, prompts) if chosen.prompt else None,
            _price(chosen, prices),
            generates=chosen.kind != "extractive",
        )
        for name, chosen in settings.candidates.items()
    }
    workloads = {
        name: Workload(
            name,
            _router(chosen, settings, candidates),
            tuple(chosen.candidates),
            _prompt(chosen, prompts),
            open_retriever(index, embedder, tuple(chosen.collections)) if chosen.collections else None,
            chosen.passages,
        )
        for name, chosen in settings.workloads.items()
    }
    first = next(iter(workloads.values()))
    pins: dict[str, tuple[Router, Workload]] = {}
    for name in candidates:
        home = next((w for w in workloads.values() if name in w.candidates), first)
        pins[name] = (Pinned(name, "the client asked for it by name"), home)
        for workload in workloads.values():
            pins[f"{workload.name}/{name}"] = (Pinned(name, "the client asked for it by name"), workload)
    return Engine(
        workloads,
        candidates,
        pins,
        log,
        observe,
        lambda search: open_search(index, embedder, search),
        load_prompt("grounded", prompts),
    )


def _prompt(workload: WorkloadSettings, folder: Path) -> Prompt | None:
    if workload.prompt:
        return load_prompt(workload.prompt, folder)
    return load_prompt("grounded", folder) if workload.collections else None


def _router(workload: WorkloadSettings, settings: Settings, candidates: Mapping[str, Candidate]) -> Router:
    route: RouteSettings = workload.route
    able = {name: _asks(settings.candidates[name]) for name in workload.candidates}
    router: Router
    if route.policy == "pinned":
        router = Pinned(workload.candidates[0], "the workload's policy is pinned")
    else:
        rules = [
            (
                When(
                    frozenset(rule.when.groups),
                    frozenset(rule.when.users),
                    rule.when.min_chars,
                    rule.when.max_chars,
                    rule.when.evidence,
                    frozenset(rule.when.asks),
                ),
                rule.use,
            )
            for rule in route.rules
        ]
        router = Rules(able, rules)
    return Housekeeping(router, _cheapest([candidates[name] for name in workload.candidates]))


def _asks(candidate: CandidateSettings) -> frozenset[str]:
    return frozenset() if candidate.kind == "extractive" else frozenset(candidate.asks)


def _cheapest(candidates: list[Candidate]) -> str:
    """The cheapest that can write a title; one whose price is not known is taken to be dear."""

    def dearness(candidate: Candidate) -> tuple[bool, bool, float]:
        price = candidate.price
        return (not candidate.generates, price is None, price.input + price.output if price else 0.0)

    return min(candidates, key=dearness).name


def _price(candidate: CandidateSettings, prices: Prices) -> Price | None:
    if candidate.price is not None:
        return Price(candidate.price.input, candidate.price.output, candidate.price.cached)
    return Price() if candidate.kind == "extractive" else prices.of(candidate.model)


def _model(
    candidate: CandidateSettings,
    settings: Settings,
    embedder: Embedder,
    client: HttpClient,
    environ: Mapping[str, str],
) -> ChatModel:
    match candidate.kind:
        case "openai_compatible":
            from rungwise_server.models.openai_compatible import OpenAICompatible

            return OpenAICompatible(
                url=candidate.url,
                model=candidate.model,
                api_key=secret(candidate, settings, environ),
                headers=candidate.headers,
                params=candidate.params,
                timeout=candidate.timeout,
                connect_timeout=candidate.connect_timeout,
                client=client,
            )
        case "litellm":
            from rungwise_server.models.litellm import LiteLLM

            return LiteLLM(
                model=candidate.model,
                api_key=secret(candidate, settings, environ),
                url=candidate.url,
                params=candidate.params,
                timeout=candidate.timeout,
            )
        case "extractive":
            from rungwise_server.models.extractive import Extractive
            from rungwise_server.retrieval.language import guess

            return Extractive(embedder, guess)


def _with_fallback(name: str, settings: Settings, models: Mapping[str, ChatModel]) -> ChatModel:
    """The candidate's model, followed by those it falls back to, and those that these fall back to."""
    chain = [name]
    waiting = list(settings.candidates[name].fallback)
    while waiting:
        following = waiting.pop(0)
        if following not in chain:
            chain.append(following)
            waiting += settings.candidates[following].fallback
    if len(chain) == 1:
        return models[name]
    from rungwise_server.models.fallback import Fallback

    return Fallback([(following, models[following]) for following in chain])
