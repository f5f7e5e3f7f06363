"""Token arrays back to text: clients such as LangChain send OpenAI's cl100k_base tokens, which no other model knows.

Only decoding is needed, and that is a table: it comes along with llama-index, read here as a file. Importing
llama-index, or tiktoken, which would download the same file, takes seconds and a network.
"""

from base64 import b64decode
from collections.abc import Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from rungwise_server.errors import BadRequest

_FILE = "_static/tiktoken_cache/9b5ad71b2ce5302211f9c61530b329a4922fc6a4"
_SHA256 = "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"
_INSTEAD = "Send text instead (in LangChain: `check_embedding_ctx_length=False`)."


class Cl100k:
    """OpenAI's encoding of its embedding models. The table is read when it is first needed (50 ms)."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def text(self, tokens: Sequence[int]) -> str:
        """What the tokens say; half a character at either end becomes U+FFFD.

        Raises:
            BadRequest: a number is no token, or the table is not installed; the message says what to send instead.
        """
        pieces = self._pieces = self._pieces or _table()
        try:
            return b"".join([pieces[token] for token in tokens]).decode("utf-8", "replace")
        except IndexError:
            wrong = next(token for token in tokens if token >= len(pieces))
            raise BadRequest(
                f"Invalid value for 'input': {wrong} is no token of cl100k_base, as which token arrays are read. "
                + _INSTEAD,
                param="input",
            ) from None


def _table() -> list[bytes]:
    try:
        spec = find_spec("llama_index.core")  # is looked up, not imported
        folders = (spec and spec.submodule_search_locations) or [""]
        data = (Path(folders[0]) / _FILE).read_bytes()
    except (OSError, ImportError):
        data = b""
    if sha256(data).hexdigest() != _SHA256:
        raise BadRequest(f"Token arrays cannot be read by this server. {_INSTEAD}", param="input")
    ranked = [line.split() for line in data.splitlines()]
    pieces = [b""] * len(ranked)
    for piece, rank in ranked:
        pieces[int(rank)] = b64decode(piece)
    return pieces
