"""`POST /v1/responses`: OpenAI's newer wire, over the same engine. The id of a response is that of its inference."""

import logging
from collections.abc import Collection, Mapping
from copy import copy
from typing import Protocol

from rungwise_server.answer import Answer
from rungwise_server.api.errors import error_body
from rungwise_server.api.responses.background import Background
from rungwise_server.api.responses.events import DONE, Events
from rungwise_server.api.responses.extras import extras
from rungwise_server.api.responses.input import kept_form, messages
from rungwise_server.api.responses.request import Wanted, read_create
from rungwise_server.api.responses.store import Body, ResponseStore
from rungwise_server.api.responses.wire import PREFIX, Annotator, FileSearchCall, encode, found, item_id
from rungwise_server.api.surface import Asked, Reply
from rungwise_server.engine import Engine
from rungwise_server.errors import NotFound, RungwiseError, Unavailable
from rungwise_server.keeping import Kept, KeptStore
from rungwise_server.records import Choice
from rungwise_server.types import Caller, ChatRequest, Delta, Search

logger = logging.getLogger(__name__)


class Stores(Protocol):
    """The vector stores, as far as `file_search` needs them."""

    async def readable(self, id: str, caller: Caller) -> Kept:
        """A store that `caller` may search. Raises NotFound."""

    async def touch(self, store: Kept) -> None:
        """It is in use."""


class Responses:
    """The surface. `background` has the responses that run on by themselves."""

    name = "responses"
    prefix = PREFIX

    def __init__(self, engine: Engine, kept: KeptStore, stores: Stores, collections: Collection[str]) -> None:
        """`collections` are the names of those that `file_search` may search beside vector stores."""
        self._kept = kept
        self._stores = stores
        self._collections = collections
        self.store = ResponseStore(kept)
        self.background = Background(engine, self.store, self.name)

    def on_connection(self, beside: Mapping[str, Kept]) -> "Responses":
        """The same surface, where the responses in `beside`, which are not stored, can be continued too."""
        other = copy(self)
        other.store = ResponseStore(self._kept, beside)
        return other

    async def read(self, asked: Asked) -> "ResponsesExchange | Reply":
        """See `Surface`. A background response is answered at once."""
        wanted = read_create(asked.body, asked.id)
        response, owner = wanted.response, asked.caller.owner
        own = kept_form(await self.store.resolve(wanted.items, owner), asked.id)
        history = await self.store.history(response.previous_response_id, owner)
        request = ChatRequest(
            asked.id,
            response.model,
            messages([*history, *own], response.instructions),
            wanted.params,
            stream=wanted.stream or response.background,
            search=await self._search(wanted, asked.caller),
        )
        body = Body(response, own, streamed=wanted.stream and response.background)
        exchange = ResponsesExchange(request, wanted, body, owner, asked.sources, self.store)
        if response.background:
            row = await self.background.start(exchange, asked.caller)
            return Reply(self.background.follow(row, -1) if wanted.stream else encode(response))
        return exchange

    def error(self, error: Exception, request_id: str) -> bytes:
        """See `Surface`."""
        return error_body(error)

    async def _search(self, wanted: Wanted, caller: Caller) -> Search | None:
        search = wanted.search
        if search is None:
            return None
        for place, name in enumerate(search.stores):
            if name in self._collections:
                continue
            try:
                await self._stores.touch(await self._stores.readable(name, caller))
            except NotFound as error:
                raise NotFound(error.message, param=f"vector_store_ids[{place}]", code=error.code) from None
        return Search(search.stores, search.limit, search.filter, search.threshold)


class ResponsesExchange:
    """A request and its response."""

    def __init__(
        self, request: ChatRequest, wanted: Wanted, body: Body, owner: str, sources: str, store: ResponseStore
    ) -> None:
        self.request = request
        self.body = body
        self.owner = owner
        self.events = Events(body.response, obfuscate=wanted.obfuscate)
        self._wanted = wanted
        self._sources = sources
        self._store = store
        self._finish = ""
        self._reasoning_tokens = 0

    def open(self, answer: Answer) -> bytes:
        """The response is there; what was searched and found."""
        return self.events.begin() + self.found(answer)

    def found(self, answer: Answer) -> bytes:
        """The search, where the client asked for one."""
        response = self.events.response
        response.model = answer.model or answer.candidate
        searched = self.request.search is not None
        self.events.annotator = Annotator(answer.passages, self._sources, by_file=searched)
        if not searched:
            return b""
        self.body.found = [found(passage) for passage in answer.passages]
        results = self.body.found if self._wanted.show_results else None
        queries = [answer.query] if answer.query else []
        return self.events.searched(FileSearchCall(item_id("fs", response.id, 0), "completed", queries, results))

    def delta(self, delta: Delta) -> bytes:
        """What the model says, thinks and calls."""
        beside = extras(delta.wire, logprobs=self._wanted.logprobs)
        self._reasoning_tokens = beside.reasoning_tokens or self._reasoning_tokens
        if not delta.index:
            self._finish = delta.finish_reason or self._finish
        return self.events.delta(delta, beside)

    async def close(self, answer: Answer) -> bytes:
        """The end of the items and of the response, which is kept by then."""
        out = self.finish(answer)
        await self._keep()
        return out + self.events.end() + DONE

    def finish(self, answer: Answer) -> bytes:
        """The end of the items."""
        return self.events.finish(self._finish, answer.usage, self._reasoning_tokens)

    async def broken(self, answer: Answer, error: RungwiseError) -> bytes:
        """The error, the response as far as it came, and `[DONE]`."""
        out = self.events.fail(error)
        await self._keep()
        return out + self.events.end() + DONE

    async def whole(self, answer: Answer, wire: bytes) -> bytes:
        """The response."""
        self.open(answer)
        choice = answer.choices[0] if answer.choices else Choice()
        self.delta(Delta(choice.text, 0, choice.tool_calls, tuple(answer.citations), choice.finish_reason, None, wire))
        self.finish(answer)
        await self._keep()
        return encode(self.events.response)

    def kept(self) -> Kept:
        """The response as it would be kept."""
        return self._store.kept_form(self.body, self.owner)

    async def _keep(self) -> None:
        """An answer that cannot be kept is given all the same, and says that it was not."""
        response = self.events.response
        if not response.store:
            return
        try:
            await self._store.add(self.body, self.owner)
        except Unavailable as error:
            response.store = False
            logger.warning("response %s was not kept: %s", response.id, error.message)
