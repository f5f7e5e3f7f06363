"""Writes of one turn leave together; nothing is lost, reordered, or held back without end."""

import asyncio
from typing import cast

import pytest

from rungwise_server.http import gather
from rungwise_server.http.gather import GatheringTransport, Turn


class Wire(asyncio.Transport):
    """Remembers what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.sent.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close


async def two() -> tuple[GatheringTransport, Wire, GatheringTransport, Wire]:
    turn, loop = Turn(), asyncio.get_running_loop()
    first, second = Wire(), Wire()
    return GatheringTransport(first, turn, loop), first, GatheringTransport(second, turn, loop), second


async def test_what_is_written_in_one_turn_is_sent_together_at_its_end() -> None:
    one, first, other, second = await two()
    for turn in range(2):
        one.write(b"head ")
        other.write(b"other")
        one.write(b"body")
        assert (len(first.sent), len(second.sent)) == (turn, turn)
        await asyncio.sleep(0)
    assert first.sent == [b"head body"] * 2
    assert second.sent == [b"other"] * 2


async def test_much_is_not_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "_MOST", 10)
    one, first, _, _ = await two()
    one.write(b"12345")
    one.write(b"678901")
    assert first.sent == [b"12345678901"]
    one.write(b"2")
    await asyncio.sleep(0)
    assert first.sent[1:] == [b"2"]


async def test_closing_sends_first() -> None:
    one, first, _, _ = await two()
    one.write(b"last")
    one.close()
    assert (first.sent, first.closed) == ([b"last"], True)


async def test_a_connection_that_ended_in_between_holds_up_no_other() -> None:
    one, first, other, second = await two()
    one.write(b"too late")
    other.write(b"in time")
    cast("Wire", one).abort()
    await asyncio.sleep(0)
    assert (first.sent, second.sent) == ([], [b"in time"])
