"""The HTTP application: the surfaces that answer as bare ASGI in front, everything else through FastAPI."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

from rungwise_server import __version__
from rungwise_server.api.auth import Gate
from rungwise_server.api.batches import batches_api
from rungwise_server.api.chat import openapi as chat_openapi
from rungwise_server.api.chat.surface import Chat
from rungwise_server.api.completions import openapi as completions_openapi
from rungwise_server.api.completions.surface import Completions
from rungwise_server.api.embeddings import openapi as embeddings_openapi
from rungwise_server.api.embeddings.surface import Embeddings
from rungwise_server.api.endpoint import Endpoint
from rungwise_server.api.feedback import feedback_api
from rungwise_server.api.files import files_api
from rungwise_server.api.front import Front
from rungwise_server.api.grades.routes import grades_api
from rungwise_server.api.health import Probe, health_api
from rungwise_server.api.http_errors import handle_errors
from rungwise_server.api.ledger import ledger_api
from rungwise_server.api.limits import Limits
from rungwise_server.api.messages import openapi as messages_openapi
from rungwise_server.api.messages.surface import CountTokens, Messages
from rungwise_server.api.models import models_api
from rungwise_server.api.moderations import openapi as moderations_openapi
from rungwise_server.api.moderations.surface import Moderate, Moderations
from rungwise_server.api.openapi import describe
from rungwise_server.api.rerank import openapi as rerank_openapi
from rungwise_server.api.rerank.surface import Rerank
from rungwise_server.api.responses import openapi as responses_openapi
from rungwise_server.api.responses.compact import Compaction
from rungwise_server.api.responses.kept import responses_api
from rungwise_server.api.responses.socket import Socket
from rungwise_server.api.responses.surface import Responses
from rungwise_server.api.sources import sources_api
from rungwise_server.api.surface import Surface
from rungwise_server.api.vector_stores.routes import Searcher, vector_stores_api
from rungwise_server.api.vector_stores.shelf import Shelf
from rungwise_server.engine import Engine
from rungwise_server.eval_sets import EvalSets
from rungwise_server.files import Files
from rungwise_server.keeping import BlobStore, JobQueue, KeptStore
from rungwise_server.ledger.facts import Facts
from rungwise_server.ledger.ledger import Ledger
from rungwise_server.protocols import Embedder, KeyRing, PassageIndex, Reranker

_STATIC = Path(__file__).parent / "static"
_DESCRIPTION = """\
Every error has `{"error": {"message", "type", "param", "code"}}`, and every response an `x-request-id`, which of an
answer is the id that feedback points at. `x-should-retry: false` says that the same request would fail again.

**`Idempotency-Key`**, on any POST: 1 to 255 visible ASCII characters of your own. For 24 hours the same request with
the same key gets the first one's answer, byte for byte, with `idempotency-replayed: true`; another body gets a 422.
While the first still runs, the second waits for it and gets its answer; where another process runs it, a 409. What
failed or broke off is not kept, and neither is an answer of more than 8 MB.

**Limits**, where the server has some: `x-ratelimit-limit-requests`, `-remaining-requests` and `-reset-requests` on
every answer to a POST; above them a 429 with `retry-after`. A model's own 429 keeps its `retry-after` and
`x-ratelimit-*`.
"""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the application serves from, and does not own."""

    engine: Engine
    index: PassageIndex
    embedder: Embedder
    keys: KeyRing
    kept: KeptStore
    blobs: BlobStore
    queue: JobQueue
    probes: Mapping[str, Probe]
    metrics: Callable[[], tuple[bytes, str]]
    reranker: Reranker
    searcher: Searcher
    moderate: Moderate | None = None
    """Passes a body on to the moderations of a candidate; None where there is none."""
    collections: Mapping[str, str] = field(default_factory=dict)
    """The configured collections, by name, with what they are."""
    embedder_names: Sequence[str] = ()
    """What clients may ask for the embedder as, its own name first; empty means that alone."""
    graders: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The principals that may grade the answers of each workload, beside admins."""
    ledger: Ledger | None = None
    """None: that of the log alone, where nothing is configured."""


def create_app(
    parts: Parts,
    *,
    max_body: int = 32_000_000,
    max_upload: int = 512_000_000,
    public_url: str = "",
    limits: Limits | None = None,
) -> Front:
    """The application over the parts of a house. Serves until it is dropped.

    Args:
        parts: what it serves from.
        max_body: largest body of a request, in bytes.
        max_upload: largest file that is taken, in bytes.
        public_url: the address that clients reach, for links in citations; empty takes each request's own host.
        limits: what one caller may ask for.
    """
    engine = parts.engine
    gate = Gate(parts.keys)
    rest = FastAPI(
        title="Rungwise",
        version=__version__,
        summary="Ask your own documents through the OpenAI API.",
        description=_DESCRIPTION,
        docs_url=None,  # its page loads scripts from another host
        redoc_url=None,
    )
    rest.state.gate = gate
    embedders = tuple(parts.embedder_names) or (parts.embedder.name,)
    rest.include_router(models_api(engine, embedders, int(time.time())))
    rest.include_router(feedback_api(engine.log))
    sets = EvalSets(parts.kept)
    rest.include_router(grades_api(engine.log, sets, parts.keys, parts.graders, parts.index))
    rest.include_router(ledger_api(parts.ledger or Ledger(engine.log, sets, Facts()), parts.keys))
    files = Files(parts.kept, parts.blobs, max_upload)
    shelf = Shelf(parts.kept, parts.queue, parts.index, files, parts.collections)
    rest.include_router(files_api(files, shelf.leave_all))
    rest.include_router(batches_api(parts.kept, parts.queue, files, public_url))
    rest.include_router(vector_stores_api(shelf, parts.searcher, engine, int(time.time())))
    responses = Responses(engine, parts.kept, shelf, parts.collections)
    rest.include_router(responses_api(responses))
    rest.include_router(sources_api(parts.index))
    rest.include_router(health_api(parts.probes, parts.metrics))
    rest.mount("/static", StaticFiles(directory=_STATIC), name="static")

    @rest.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html")

    surfaces: dict[str, Surface] = {
        "/v1/chat/completions": Chat(),
        "/v1/completions": Completions(engine),
        "/v1/messages": Messages(),
        "/v1/messages/count_tokens": CountTokens(),
        "/v1/embeddings": Embeddings(parts.embedder, embedders),
        "/v1/rerank": Rerank(parts.reranker),
        "/rerank": Rerank(parts.reranker),
        "/v2/rerank": Rerank(parts.reranker, version=2),
        "/v1/moderations": Moderations(parts.moderate),
        "/v1/responses": responses,
        "/v1/responses/compact": Compaction(responses.store),
    }
    operations = {
        "/v1/chat/completions": chat_openapi.OPERATION,
        "/v1/completions": completions_openapi.OPERATION,
        "/v1/messages": messages_openapi.OPERATION,
        "/v1/embeddings": embeddings_openapi.OPERATION,
        **{path: rerank_openapi.operation_at(path) for path in ("/v1/rerank", "/rerank", "/v2/rerank")},
        "/v1/moderations": moderations_openapi.OPERATION,
        "/v1/responses": responses_openapi.OPERATION,
        "/v1/responses/compact": responses_openapi.COMPACT,
    }
    describe(rest, operations)
    endpoints = {path: Endpoint(s, engine, gate, max_body, public_url) for path, s in surfaces.items()}
    front = Front(
        endpoints,
        rest,
        gate=gate,
        kept=parts.kept,
        max_body=max_body,
        max_upload=max_upload,
        limits=limits,
        sockets={"/v1/responses": Socket(responses, engine, gate, public_url.rstrip("/"), limits)},
    )
    front.closing.append(responses.background.close)
    handle_errors(rest, front.allowed)
    return front
