"""Prices come from litellm's table without litellm."""

import subprocess
import sys
from pathlib import Path

import pytest

from rungwise_server.models.prices import Prices
from rungwise_server.types import Price

TABLE = """{
  "big": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07},
  "azure/small": {"input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07, "mode": "chat"},
  "odd": {"input_cost_per_token": "a lot"},
  "free of price": {"max_tokens": 8}
}"""


@pytest.fixture
def prices(tmp_path: Path) -> Prices:
    path = tmp_path / "prices.json"
    path.write_text(TABLE)
    return Prices(path)


@pytest.mark.parametrize(
    ("model", "price"),
    [
        ("big", Price(3.0, 15.0, 0.3)),
        ("anthropic/big", Price(3.0, 15.0, 0.3)),
        ("azure/small", Price(0.15, 0.6)),
        ("small", None),
        ("odd", None),
        ("free of price", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_prices(prices: Prices, model: str, price: Price | None) -> None:
    assert prices.of(model) == price


@pytest.mark.parametrize("text", [None, "", "[]", "{nonsense"])
def test_a_table_that_cannot_be_read_has_no_prices(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "prices.json"
    if text is not None:
        path.write_text(text)
    assert Prices(path).of("big") is None


def test_the_installed_table_is_read_without_importing_litellm() -> None:
    code = (
        "import sys; from rungwise_server.models.prices import Prices; price = Prices().of('gpt-4o-mini');"
        "print(price.input, price.output, 'litellm' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.15", "0.6", "False"]
