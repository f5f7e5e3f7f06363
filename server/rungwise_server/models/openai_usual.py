"""The chunk that most chunks of a stream are, recognised by its bytes instead of parsed."""

from collections.abc import Callable

import msgspec

from rungwise_server.models.openai_wire import UNREADABLE, Body, decode
from rungwise_server.types import Delta

_END = b"\n\n"
_text = msgspec.json.Decoder(str).decode
_TRIAL = "a text of ours"
_TRIED = msgspec.json.encode(_TRIAL)


class UsualChunk:
    """A chunk of one choice that brings text and nothing else, as a mould for others.

    An event that has the same bytes before and after its text, and one JSON string in between, says the same but for
    that string. A mould is tried when it is made: another text put into it must change the parsed chunk there alone.
    """

    __slots__ = ("_after", "_before", "_index", "_misses", "_ours_after", "_ours_before", "_ours_seam", "_seam")

    def __init__(self) -> None:
        self._before = self._after = self._seam = b"\0"  # nothing is like that
        self._ours_before = self._ours_after = self._ours_seam = b""
        self._index = 0
        self._misses = 0

    def read(self, block: bytes) -> Delta | None:
        """What a block of events says that are all like the mould; None where it must be parsed."""
        if not (block.startswith(self._before) and block.endswith(self._after)):
            return None
        said = block[len(self._before) : -len(self._after)]
        try:
            if said.find(self._seam) < 0:
                text = _text(said)
            else:
                text = "".join(map(_text, said.split(self._seam)))
                said = said.replace(self._seam, self._ours_seam)
        except UNREADABLE:
            return None
        self._misses = 0
        return Delta(text, self._index, wire=self._ours_before + said + self._ours_after)

    def learn(self, chunk: Body, event: bytes, wire: Callable[[Body, bytes], bytes]) -> None:
        """Take an event that had to be parsed, and is `chunk`, as the mould, if it can be one.

        `wire` makes of an event what is sent. Where nothing was like the last mould, ever fewer events are tried.
        """
        choice = chunk.choices[0] if chunk.choices else None
        if not choice or not choice.delta or not choice.delta.content:
            return
        self._misses += 1
        if self._misses & (self._misses - 1):
            return
        text = msgspec.json.encode(choice.delta.content)
        choice.delta.content = _TRIAL
        for key in (b'"content":', b'"content": '):
            before, found, after = event.partition(key + text)
            before += key
            trial = before + _TRIED + after
            if not found or not _is(chunk, trial):
                continue
            ours = wire(chunk, trial).split(_TRIED)
            if len(ours) == 2:
                self._index = choice.index or 0
                self._before, self._after = before, after + _END
                self._seam = self._after + self._before
                self._ours_before, self._ours_after = ours[0], ours[1] + _END
                self._ours_seam = self._ours_after + self._ours_before


def _is(chunk: Body, event: bytes) -> bool:
    try:
        return decode(event[5:]) == chunk
    except UNREADABLE:
        return False
