"""A model in a folder. `data/tiny_model` is one table of 16 words, looked up: small enough to calculate by hand."""

import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from rungwise_server.errors import SetupError
from rungwise_server.retrieval.embedders.minilm import GRAPH, MiniLM, weights
from rungwise_server.retrieval.embedders.onnx import OnnxEmbedder, Tokens, open_folder
from rungwise_server.types import Vector

TINY = Path(__file__).parent / "data" / "tiny_model"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "tiny"))


async def test_mean_and_cls_pooling(folder: Path) -> None:
    words = await open_folder(folder).embed(["moss", "grows"], "passage")
    (mean,) = await open_folder(folder, pooling="mean").embed(["moss grows"], "passage")
    (first,) = await open_folder(folder, pooling="cls").embed(["moss grows"], "passage")
    np.testing.assert_allclose(first, words[0], atol=1e-6)
    assert float(mean @ words[0]) < 0.99
    assert float(mean @ words[1]) > 0.3


async def test_texts_are_cut(folder: Path) -> None:
    embedder = open_folder(folder, max_tokens=8)
    long, short = await embedder.embed(["moss " * 8 + "refund " * 50, "moss"], "passage")
    np.testing.assert_allclose(long, short, atol=1e-6)


async def test_prefixes_differ_by_kind(folder: Path) -> None:
    embedder = open_folder(folder, query_prefix="north ", passage_prefix="side ")
    plain = open_folder(folder)
    query = await embedder.embed(["moss"], "query")
    np.testing.assert_allclose(query, await plain.embed(["north moss"], "query"), atol=1e-6)
    passage = await embedder.embed(["moss"], "passage")
    np.testing.assert_allclose(passage, await plain.embed(["side moss"], "passage"), atol=1e-6)
    assert embedder.name != plain.name


def test_the_name_follows_the_weights(folder: Path, tmp_path: Path) -> None:
    before = open_folder(folder).name
    assert before.startswith("tiny@")
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere" / "tiny" / "onnx")).parent
    (moved / "onnx" / "tokenizer.json").rename(moved / "tokenizer.json")
    assert open_folder(moved).name == before
    assert open_folder(folder, pooling="cls").name != before
    weights = bytearray((folder / "model.onnx").read_bytes())
    weights[len(weights) // 2] ^= 1
    (folder / "model.onnx").write_bytes(weights)
    assert open_folder(folder).name != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.onnx", None, "holds no model.onnx"),
        ("tokenizer.json", None, "holds no tokenizer.json"),
        ("model.onnx", b"not a model", "cannot load the model"),
        ("model.onnx", b"", "cannot load the model"),
        ("tokenizer.json", b"{}", "is no tokenizer"),
    ],
)
def test_a_missing_or_broken_file_is_named(folder: Path, name: str, content: bytes | None, message: str) -> None:
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    with pytest.raises(SetupError, match=message):
        open_folder(folder)


def test_more_tokens_than_the_model_takes_are_noticed_at_once() -> None:
    path = weights()
    with pytest.raises(SetupError, match="does not run with texts of 600 tokens"):
        OnnxEmbedder(
            GRAPH.read_bytes(), path.with_name("tokenizer.json"), name="m", max_tokens=600, weights_folder=path.parent
        )


class Counting(MiniLM):
    """Counts its batches."""

    batches = 0

    def _encode(self, batch: list[Tokens]) -> Vector:
        self.batches += 1
        return super()._encode(batch)


@pytest.fixture
def counting() -> Counting:
    embedder = Counting(threads=1)
    embedder.batches = 0
    return embedder


async def begun(embedder: Counting) -> None:
    async with asyncio.timeout(10):
        while not embedder.batches:
            await asyncio.sleep(0.001)


async def test_a_query_overtakes_passages(counting: Counting) -> None:
    passages = asyncio.create_task(counting.embed(["clause " * 250] * 24, "passage"))
    await begun(counting)
    await counting.embed(["when do you open?"], "query")
    assert not passages.done()
    await passages


async def test_cancelling_ends_the_work(counting: Counting) -> None:
    task = asyncio.create_task(counting.embed(["clause " * 250] * 400, "passage"))
    await begun(counting)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await counting.embed(["clause"], "passage")  # on the same thread, after whatever was still to be done there
    assert counting.batches < 100, "of 200"


async def test_recent_queries_are_remembered_by_text(folder: Path) -> None:
    embedder = open_folder(folder)
    first = await embedder.embed(["moss", "refund"], "query")
    swapped = await embedder.embed(["refund", "moss"], "query")
    np.testing.assert_array_equal(first[::-1], swapped)
    passage = await embedder.embed(["moss"], "passage")
    np.testing.assert_allclose(passage[0], first[0], atol=1e-6)
