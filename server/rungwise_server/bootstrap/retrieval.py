"""What finds passages: the embedder, the index, retrieval over both, and the reranker."""

import os
from collections.abc import Mapping

from rungwise_server.bootstrap.secrets import secret
from rungwise_server.config.settings import Settings
from rungwise_server.errors import EmbedderMismatch
from rungwise_server.http.client import HttpClient
from rungwise_server.protocols import Embedder, PassageIndex, Reranker, Retriever
from rungwise_server.types import CollectionSpec, Search


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
