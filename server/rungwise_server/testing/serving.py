"""A real server for tests: the application on a real socket, in the test's own event loop."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager

from rungwise_server.api.front import Front
from rungwise_server.api.moderations.surface import Moderate
from rungwise_server.app import Parts, create_app
from rungwise_server.bootstrap import open_search
from rungwise_server.engine import Engine
from rungwise_server.keeping import BlobStore, JobQueue, KeptStore
from rungwise_server.log.memory import MemoryLog
from rungwise_server.metrics import Metrics
from rungwise_server.protocols import Embedder, PassageIndex, Reranker
from rungwise_server.retrieval.rerank import HybridReranker
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.serve import bind, listen
from rungwise_server.testing.keeping import MemoryBlobs, MemoryKept, MemoryQueue
from rungwise_server.testing.memory_index import MemoryIndex
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Caller


class FixedKeys:
    """A `KeyRing` of given keys."""

    def __init__(self, keys: Mapping[str, Caller] | None = None) -> None:
        self.keys = dict(keys or {})

    async def any(self) -> bool:
        """Whether there are any."""
        return bool(self.keys)

    async def find(self, secret: str) -> Caller | None:
        """Whose it is."""
        return self.keys.get(secret)


def fake_parts(
    engine: Engine | None = None,
    index: PassageIndex | None = None,
    keys: Mapping[str, Caller] | None = None,
    *,
    embedder: Embedder | None = None,
    kept: KeptStore | None = None,
    blobs: BlobStore | None = None,
    queue: JobQueue | None = None,
    collections: Mapping[str, str] | None = None,
    reranker: Reranker | None = None,
    moderate: Moderate | None = None,
    embedder_names: Sequence[str] = (),
    graders: Mapping[str, Collection[str]] | None = None,
) -> Parts:
    """All that an application serves from; what is not given is a fake, or empty."""
    index, embedder = index or MemoryIndex(), embedder or HashEmbedder()
    return Parts(
        engine=engine or Engine({}, {}, {}, MemoryLog()),
        index=index,
        embedder=embedder,
        keys=FixedKeys(keys),
        kept=kept or MemoryKept(),
        blobs=blobs or MemoryBlobs(),
        queue=queue or MemoryQueue(),
        probes={},
        metrics=Metrics().expose,
        reranker=reranker or HybridReranker(embedder, Bm25Encoder()),
        moderate=moderate,
        embedder_names=embedder_names,
        searcher=lambda search: open_search(index, embedder, search),
        collections=collections or {},
        graders=graders or {},
    )


@asynccontextmanager
async def serving(
    engine: Engine, index: PassageIndex, keys: Mapping[str, Caller] | None = None, *, max_body: int = 1_000_000
) -> AsyncIterator[str]:
    """The URL of a server over `engine` and `index`; no keys means the loopback's anonymous caller."""
    async with listening(create_app(fake_parts(engine, index, keys), max_body=max_body)) as url:
        yield url


@asynccontextmanager
async def listening(app: Front) -> AsyncIterator[str]:
    """The URL of a server over `app`, on a free port of the loopback."""
    listener = bind("127.0.0.1", 0)
    port = listener.getsockname()[1]
    ready = asyncio.Event()
    task = asyncio.create_task(listen(app, listener, ready.set))
    try:
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        yield f"http://127.0.0.1:{port}"
    finally:
        task.cancel()
        await asyncio.wait([task])
