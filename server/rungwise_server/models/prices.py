"""What models cost, from the table that litellm carries, read without importing litellm (which takes seconds)."""

import importlib.util
from pathlib import Path

import msgspec
from msgspec import Struct

from rungwise_server.types import Price

_FILE = "model_prices_and_context_window_backup.json"


class _Row(Struct):
    """Money for one token."""

    input_cost_per_token: float | None = None
    output_cost_per_token: float | None = None
    cache_read_input_token_cost: float | None = None


class Prices:
    """Prices by model name, as litellm writes it (`gpt-4o`, `anthropic/claude-…`, `azure/…`). Read when first asked.

    `path` is another file of the same form. A model that is not there, or a table that cannot be read, has no price.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._rows: dict[str, _Row] | None = None

    def of(self, model: str) -> Price | None:
        """US dollars for a million tokens; None where nobody knows. A provider's prefix may be missing or too much."""
        if self._rows is None:
            self._rows = self._read()
        row = self._rows.get(model) or self._rows.get(model.partition("/")[2])
        if row is None or row.input_cost_per_token is None or row.output_cost_per_token is None:
            return None
        cached = row.cache_read_input_token_cost
        return Price(
            input=_million(row.input_cost_per_token),
            output=_million(row.output_cost_per_token),
            cached=None if cached is None else _million(cached),
        )

    def _read(self) -> dict[str, _Row]:
        path = self._path or _installed()
        if path is None or not path.is_file():
            return {}
        try:
            raw = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        except (OSError, msgspec.MsgspecError):
            return {}
        rows = {}
        for name, value in raw.items():
            try:
                rows[name] = msgspec.json.decode(value, type=_Row)
            except msgspec.MsgspecError:
                continue
        return rows


def _installed() -> Path | None:
    spec = importlib.util.find_spec("litellm")
    return Path(spec.origin).with_name(_FILE) if spec is not None and spec.origin else None


def _million(price: float) -> float:
    return round(price * 1e6, 6)
