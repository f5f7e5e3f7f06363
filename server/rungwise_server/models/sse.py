"""Server-sent events out of bytes that come as they will.

The format is that of the HTML standard: lines end with LF, CRLF or CR, an event ends with an empty line, a line that
starts with a colon is a comment, several `data` lines are one text with line breaks.
"""

_EVENT_LIMIT = 16 * 1024 * 1024


class EventTooLong(Exception):
    """An event without an end."""


class EventReader:
    """Cuts the stream where events end. Work is linear in the bytes, however small the pieces are."""

    __slots__ = ("_cr", "_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._cr = False

    def feed(self, data: bytes) -> bytes:
        """The events that are complete now, one after the other, with LF line ends; see `split`.

        Raises:
            EventTooLong: more than 16 MiB came without an empty line.
        """
        if self._cr or data.find(b"\r") >= 0:  # `in` first takes the bytes for a number, and raises
            if self._cr:
                data = b"\r" + data
            self._cr = data.endswith(b"\r")
            if self._cr:
                data = data[:-1]
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        parts = self._parts
        if not parts and data[-2:] == b"\n\n":
            return data
        if parts:
            seam = parts[-1][-1:] == b"\n" and data[:1] == b"\n"
            if not seam and data.find(b"\n\n") < 0:
                self._keep(data)
                return b""
            parts.append(data)
            data = b"".join(parts)
            parts.clear()
            self._size = 0
        cut = data.rfind(b"\n\n") + 2
        if cut < 2:
            self._keep(data)
            return b""
        self._keep(data[cut:])
        return data[:cut]

    def finish(self) -> bytes:
        """The stream has ended: what is left, for servers that forget the last empty line."""
        return self.feed(b"\n\n")

    def _keep(self, data: bytes) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
            if self._size > _EVENT_LIMIT:
                raise EventTooLong


def split(block: bytes) -> list[bytes]:
    """The events of a block, without the empty lines that end them; some may be empty."""
    return block[:-2].split(b"\n\n") if block else []


def fields(event: bytes) -> tuple[bytes, bytes | None]:
    """An event's name (`message` where it says none) and its data; None where it has none, such as a comment."""
    name, data = b"message", []
    for line in event.split(b"\n"):
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value
    return name, b"\n".join(data) if data else None
