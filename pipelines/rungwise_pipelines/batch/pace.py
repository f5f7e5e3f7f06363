"""How many lines run at once: as many as make the upstream faster, and hardly more.

A model server answers more lines a second the more it has at once, up to a point; beyond it they wait in its queue, in
front of those who chat. So the limit is found by trying: it doubles until that brings little, and from then on steps
up or down by a quarter now and then, staying where a change pays. A busy machine makes single measurements lie: so a
doubling that seems to bring little is measured once more, for longer, and a step up that brings much begins the
doubling anew. The rate itself is measured, not the latency: a batch that grows makes each answer slower long before it
stops to pay.

What the upstream refuses or does not answer in time cuts the limit (once for all that ran at that moment) and, where it
says for how long, or does it again and again, closes the gate for a while.
"""

import asyncio
import random
from collections import deque

_START = 8
_FACTOR = 1.25
_CUT = 0.6
_ROUNDS = 3  # answers measured, in multiples of the limit
_SHORTEST = 0.2  # seconds
_REST = 4  # windows between two tries
_LONGEST_REST = 64
_LONGEST_WAIT = 30.0
_LONGEST_CLOSED = 600.0
_PAYS, _STEEP = 0.06, 0.4


class Pace:
    """A gate in front of the upstream: `enter` before each attempt; `answered`, `refused` or `left` after it."""

    def __init__(self, most: int, start: int = _START) -> None:
        self.most = most
        self.limit = float(min(start, most))
        self.running = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._open_at = 0.0
        self._entered = self._entered_before_cut = 0
        self._idle = False
        self._in_a_row = 0
        self._ramp = True
        self._doubted = False
        self._up = True
        self._base: tuple[float, float] | None = None
        """The limit that is being measured against, and its rate, while another one is tried."""
        self._rest = 0
        self._rest_after = _REST
        self._window()

    async def enter(self) -> int:
        """Wait for room; a number for `refused`."""
        self._admit()
        if self._waiting or not self._room():
            place = self._loop.create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.running -= 1
                    self._admit()
                raise
        else:
            self.running += 1
        self._entered += 1
        return self._entered

    def idle(self) -> None:
        """Fewer lines come than might: that says nothing of the upstream."""
        self._idle = True

    def left(self) -> None:
        """An attempt that says nothing of the upstream is over."""
        self.running -= 1
        self._admit()

    def answered(self) -> None:
        """An attempt that the upstream answered is over."""
        self.running -= 1
        self._in_a_row = 0
        self._count()
        self._admit()

    def refused(self, entered: int, retry_after: float | None = None) -> None:
        """An attempt that was too much for the upstream is over. `entered` is what `enter` returned."""
        now = self._loop.time()
        self.running -= 1
        if entered > self._entered_before_cut:
            self._cut(now)
        if retry_after is not None:
            self._open_at = max(self._open_at, now + min(retry_after, _LONGEST_CLOSED))
        self._admit()

    def _cut(self, now: float) -> None:
        self._entered_before_cut = self._entered
        self._in_a_row += 1
        if self._in_a_row > 1:
            wait = min(_LONGEST_WAIT, 0.25 * 2.0 ** (self._in_a_row - 2))
            self._open_at = max(self._open_at, now + wait * random.uniform(0.8, 1.2))  # noqa: S311
        self.limit = self._base[0] if self._base and self._base[0] < self.limit else max(1.0, self.limit * _CUT)
        self._ramp, self._base, self._up = False, None, True
        self._rest = self._rest_after
        self._rest_after = min(2 * self._rest_after, _LONGEST_REST)
        self._window()

    def _room(self) -> bool:
        return self.running < int(self.limit) and self._loop.time() >= self._open_at

    def _admit(self) -> None:
        while self._waiting and (self._waiting[0].done() or self._room()):
            place = self._waiting.popleft()
            if not place.done():
                self.running += 1
                place.set_result(None)
        wait = self._open_at - self._loop.time()
        if self._waiting and wait > 0 and self._timer is None:
            self._timer = self._loop.call_later(wait, self._opened)

    def _opened(self) -> None:
        self._timer = None
        self._admit()

    def _window(self, before: float = 0.0) -> None:
        """Measure anew; where the limit was another `before`, once the answers that ran under that are out."""
        self._settling = int(min(self.limit, before))
        self._counted = 0
        self._since = self._loop.time()

    def _count(self) -> None:
        if self._idle:
            self._idle = False
            self._window()
            return
        if self._settling:
            self._settling -= 1
            self._since = self._loop.time()
            return
        self._counted += 1
        seconds = self._loop.time() - self._since
        quick = self._ramp and not self._doubted
        rounds, shortest = (1, _SHORTEST) if quick else (_ROUNDS, 2 * _SHORTEST)
        if self._counted >= rounds * int(self.limit) and seconds >= shortest:
            before = self.limit
            self._judge(self._counted / seconds)
            self._window(0.0 if before == self.limit else before)

    def _judge(self, rate: float) -> None:
        if self._ramp:
            self._climb(rate)
        elif self._base is not None:
            self._compare(rate, *self._base)
        elif self._rest > 0:
            self._rest -= 1
        else:
            self._try(rate)

    def _climb(self, rate: float) -> None:
        if self._base is not None:
            limit, before = self._base
            if not _pays(rate / before, self.limit / limit):
                if not self._doubted:
                    # To stop too early costs more than to look twice.
                    self._doubted = True
                    return
                self._ramp, self._base, self._up, self._rest = False, None, False, 0
                self.limit = limit
                return
        if self.limit >= self.most:
            self._ramp, self._base, self._up, self._rest = False, None, False, _REST
            return
        self._doubted = False
        self._base = (self.limit, rate)
        self.limit = min(2 * self.limit, self.most)

    def _try(self, rate: float) -> None:
        limit = self.limit * _FACTOR if self._up else self.limit / _FACTOR
        limit = min(float(self.most), max(1.0, round(limit) if limit > 4 else limit))
        if int(limit) == int(self.limit):
            limit = min(float(self.most), self.limit + 1) if self._up else max(1.0, self.limit - 1)
        if limit == self.limit:
            self._up, self._rest = not self._up, self._rest_after
            return
        self._base = (self.limit, rate)
        self.limit = limit

    def _compare(self, rate: float, limit: float, before: float) -> None:
        self._base = None
        if _pays(rate / before, self.limit / limit):
            # It was a good step: another one; upwards a long one.
            self._rest_after = _REST
            if self.limit > limit and _pays(rate / before, self.limit / limit, _STEEP):
                self._ramp = True
                self._climb(rate)
            else:
                self._try(rate)
        else:
            self.limit = limit
            self._up, self._rest = not self._up, self._rest_after


def _pays(rate: float, limit: float, share: float = _PAYS) -> bool:
    """Whether a change of the rate is worth that of the limit, both as ratios: one up must bring `share` of what it
    adds, and one down may cost no more.
    """
    return rate - 1 >= share * (limit - 1)
