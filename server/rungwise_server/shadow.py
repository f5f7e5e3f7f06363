"""A candidate that answers what others have answered, in silence: its answers are only logged, to be compared.

It begins once the client's answer is in the log, in a task of its own, so it can neither delay nor fail that.
"""

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from typing import Literal, Protocol

from rungwise_server.answer import Answer
from rungwise_server.errors import RungwiseError
from rungwise_server.protocols import InferenceLog
from rungwise_server.question import features
from rungwise_server.records import OWN_SURFACES, Inference, LogQuery
from rungwise_server.types import Caller, ChatRequest, new_id

_log = logging.getLogger(__name__)

Why = Literal["busy", "spent"]
"""Why an answer was not shadowed: too many are on their way, or today's money is spent."""

_DAY = 86400
_ASK_LOG = 60.0
"""Seconds for which what the log said of today's money is taken as it was."""


class Chat(Protocol):
    """`Engine.chat`."""

    async def __call__(self, request: ChatRequest, caller: Caller, surface: str, beside: str) -> Answer:
        """See Engine."""


class Shadow:
    """Has `candidate` answer what a workload's others have answered, on behalf of the same callers.

    Args:
        model: what the candidate of this workload is asked for as.
        able: what it can do; what it cannot, it is not asked.
        daily: money that it may cost on a day (UTC), over all processes; what is on its way when it is reached is let
            finish. What evaluations spend on the candidate counts too: the log tells only sums apart from traffic.
        log: says what was spent.
        share: of the answers, how many are shadowed.
        concurrent: answers on their way, at most; what comes beyond is left out.
        left_out: told of each answer that should have been shadowed and was not.
    """

    def __init__(
        self,
        model: str,
        candidate: str,
        able: frozenset[str],
        daily: float,
        log: InferenceLog,
        *,
        share: float = 1.0,
        concurrent: int = 4,
        left_out: Callable[[Why], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._model = model
        self._candidate = candidate
        self._able = able
        self._daily = daily
        self._log = log
        self._share = share
        self._concurrent = concurrent
        self._left_out = left_out
        self._clock = clock
        self._chance = random.Random()  # noqa: S311 - nobody gains by guessing it
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked = -math.inf
        self._spent = 0.0
        self._asking = asyncio.Lock()

    def follow(self, inference: Inference, chat: Chat) -> None:
        """Shadow an answer that is done, if it is one to be shadowed and there is room. Returns at once."""
        if (
            inference.outcome != "ok"
            or inference.surface in OWN_SURFACES
            or inference.housekeeping
            or inference.candidate == self._candidate
            or self._chance.random() >= self._share
        ):
            return
        if len(self._tasks) >= self._concurrent:
            self._left_out("busy")
            return
        task = asyncio.create_task(self._answer(inference, chat))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is on its way; it is logged as cancelled."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _answer(self, inference: Inference, chat: Chat) -> None:
        try:
            if not features(inference.messages, inference.params) <= self._able:
                return
            if await self._money() >= self._daily:
                self._left_out("spent")
                return
            params = {name: value for name, value in inference.params.items() if name != "stream_options"}
            request = ChatRequest(new_id("shadow"), self._model, inference.messages, params)
            async with await chat(request, inference.caller, "shadow", inference.id) as answer:
                async for _ in answer:
                    pass
            self._spent += answer.cost or 0.0
        except RungwiseError as error:
            # It is in the log, as every answer.
            _log.info("The shadow %s of %s failed: %s", self._candidate, inference.id, error.message)
        except Exception:
            _log.exception("The shadow %s of %s failed", self._candidate, inference.id)

    async def _money(self) -> float:
        """What was spent today, by this process and as the log says."""
        async with self._asking:
            now = self._clock()
            midnight = now - now % _DAY
            if self._asked < midnight:
                self._spent = 0.0
            if now - self._asked >= _ASK_LOG or self._asked < midnight:
                query = LogQuery(kind="inference", workload=self._model.partition("/")[0], since=midnight, own=True)
                sums = await self._log.totals(query)
                told = sum(one.cost for one in sums if one.own and one.candidate == self._candidate)
                # Rows on their way into the log are not in its sums yet.
                self._spent = max(self._spent, told)
                self._asked = now
            return self._spent
