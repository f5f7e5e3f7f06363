"""When a candidate fails before its first delta, the next one answers."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing

import msgspec

from rungwise_server.errors import UpstreamError, UpstreamRefused
from rungwise_server.http.client import UNREACHABLE
from rungwise_server.protocols import ChatModel
from rungwise_server.types import ChatRequest, Delta


class Fallback:
    """Candidates by name, best first. Nothing is tried again once a delta has left.

    Another candidate can mend a failure, a limit, a timeout and a model that is not there; what a model refuses for the
    request's own sake, the caller must mend. A candidate that could not be reached `failures` times on end is tried
    last for `pause` seconds, so that not every request waits for it.
    """

    def __init__(
        self,
        candidates: Sequence[tuple[str, ChatModel]],
        *,
        failures: int = 3,
        pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._candidates = [_Candidate(name, model) for name, model in candidates]
        self._failures, self._pause, self._clock = failures, pause, clock

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """The answer of the first that has one; where none has, the error of the first, with what the others said."""
        now = self._clock()
        first = self._candidates[0]
        tried: list[tuple[str, UpstreamError]] = []
        for candidate in sorted(self._candidates, key=lambda each: each.dead_until > now):
            name = "" if candidate is first else candidate.name
            begun = False
            try:
                async with aclosing(candidate.model.stream(request)) as deltas:  # type: ignore[type-var]
                    async for delta in deltas:
                        begun = True
                        candidate.unreached = 0
                        yield msgspec.structs.replace(delta, candidate=name) if name else delta
                return
            except UpstreamError as error:
                self._note(candidate, error)
                if begun or (isinstance(error, UpstreamRefused) and error.status != 404):
                    raise
                tried.append((candidate.name, error))
        raise _summed(tried, first.name)

    def _note(self, candidate: "_Candidate", error: UpstreamError) -> None:
        candidate.unreached = candidate.unreached + 1 if error.code == UNREACHABLE else 0
        if candidate.unreached >= self._failures:
            candidate.dead_until = self._clock() + self._pause


class _Candidate:
    """A model, and how reachable it has been."""

    __slots__ = ("dead_until", "model", "name", "unreached")

    def __init__(self, name: str, model: ChatModel) -> None:
        self.name, self.model = name, model
        self.unreached = 0
        self.dead_until = 0.0


def _summed(tried: list[tuple[str, UpstreamError]], first: str) -> UpstreamError:
    """The error of the routed candidate, which says what the others said."""
    errors = dict(tried)
    error = errors.pop(first)
    for name, other in errors.items():
        error.message += f"; {name}, asked instead: {other.message}"
    error.args = (error.message,)
    return error
