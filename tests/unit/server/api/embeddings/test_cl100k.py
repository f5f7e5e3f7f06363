"""cl100k_base's table, against tiktoken's own decoding."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.api.embeddings.cl100k import Cl100k
from rungwise_server.errors import BadRequest

CL100K = Cl100k()


@pytest.fixture(scope="module", autouse=True)
def _table() -> None:
    CL100K.text([0])


@given(st.lists(st.integers(0, 100_255), max_size=20))
def test_it_decodes_as_tiktoken_does(tokens: list[int]) -> None:
    import os

    spec = find_spec("llama_index.core")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(spec.submodule_search_locations[0]) / "_static" / "tiktoken_cache")
    import tiktoken

    assert CL100K.text(tokens) == tiktoken.get_encoding("cl100k_base").decode(tokens)


@pytest.mark.parametrize("token", [100_256, 100_257, 2**40, 10**30])
def test_what_is_no_token_is_named(token: int) -> None:
    with pytest.raises(BadRequest, match=f"{token} is no token") as refused:
        CL100K.text([1, token])
    assert "check_embedding_ctx_length=False" in refused.value.message
