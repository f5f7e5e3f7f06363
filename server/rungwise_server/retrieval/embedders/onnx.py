"""A sentence-embedding model in ONNX Runtime, on the CPU. The only door to onnxruntime and tokenizers.

One session runs single-threaded; parallelism comes from running batches side by side. That is faster than one batch
on all cores, leaves no threads spinning, and lets a query run at once, on a thread of its own, while passages wait.
"""

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np
import numpy.typing as npt

from rungwise_server.errors import SetupError
from rungwise_server.retrieval.embedders.recent import Recent
from rungwise_server.types import Vector

Tokens = list[int]

_ROWS = 16
_BATCH_TOKENS = 512  # more do not fit the caches: batches of 16 x 256 take 40 % more CPU and 350 MB
_ENDS = 1 << 20
_PROBE = 1024  # most models end at 512: found out now, not at the first long document


class _Encoding(Protocol):
    ids: Tokens


class _Tokenizer(Protocol):
    def encode_batch_fast(self, texts: Sequence[str], /) -> list[_Encoding]: ...
    def no_padding(self) -> None: ...
    def enable_truncation(self, max_length: int) -> None: ...


class _Node(Protocol):
    name: str
    shape: list[int | str]


class _Session(Protocol):
    def get_inputs(self) -> list[_Node]: ...
    def get_outputs(self) -> list[_Node]: ...
    def run(self, outputs: list[str], feed: dict[str, npt.NDArray[np.int64]], /) -> list[Vector]: ...


class OnnxEmbedder:
    """A BERT-like encoder behind the Embedder protocol.

    `graph` is a file or a graph's bytes; `weights_folder` is where a graph given as bytes finds its external data.
    `pooling` makes token vectors, the model's first output of shape (batch, length, dimensions), one: their mean, or
    the first of them. `max_tokens` cuts longer texts. `threads` is how many batches run side by side (0: one a core).
    The vectors of recent queries are remembered by their text: asking twice costs once.

    Raises:
        SetupError: a file is missing or broken, or the model is not of this form.
    """

    def __init__(
        self,
        graph: Path | bytes,
        tokenizer: Path,
        *,
        name: str,
        pooling: Literal["mean", "cls"] = "mean",
        max_tokens: int = 256,
        query_prefix: str = "",
        passage_prefix: str = "",
        languages: frozenset[str] = frozenset(),
        weights_folder: Path | None = None,
        threads: int = 0,
    ) -> None:
        self._name = name
        self._languages = languages
        self._pooling = pooling
        self._prefixes = {"query": query_prefix, "passage": passage_prefix}
        self._tokenizer = _tokenizer(tokenizer, max_tokens)
        self._session = _session(graph, weights_folder)
        self._inputs = frozenset(node.name for node in self._session.get_inputs())
        if unknown := self._inputs - {"input_ids", "attention_mask", "token_type_ids", "position_ids"}:
            raise SetupError(f"the ONNX model {name} asks for {', '.join(sorted(unknown))}: it is no text encoder")
        outputs = [node for node in self._session.get_outputs() if len(node.shape) == 3]
        if not outputs:
            raise SetupError(f"the ONNX model {name} has no output of shape (batch, length, dimensions) to pool")
        self._output = outputs[0].name
        self._recent = Recent()
        threads = threads or _cores()
        self._bulk = ThreadPoolExecutor(threads, "embed")
        self._quick = ThreadPoolExecutor(threads, "embed-query")
        try:
            self._dimensions: int = self._encode([[0] * min(max_tokens, _PROBE)]).shape[1]
        except Exception as error:  # as in _session
            raise SetupError(f"the ONNX model {name} does not run with texts of {max_tokens} tokens: {error}") from None

    async def close(self) -> None:
        """End the threads, once what they are at is done."""
        self._quick.shutdown(wait=False)
        self._bulk.shutdown(wait=False)

    @property
    def name(self) -> str:
        """Stands for weights and preparation."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    @property
    def languages(self) -> frozenset[str]:
        """ISO 639-1 codes; empty means any."""
        return self._languages

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        """Rows of unit length, in order. Queries overtake passages; the event loop stays free."""
        vectors = np.zeros((len(texts), self._dimensions), np.float32)
        if not texts:
            return vectors
        if kind == "query" and (remembered := self._recent.find(texts)) is not None:
            return remembered
        loop = asyncio.get_running_loop()
        executor = self._quick if kind == "query" else self._bulk
        tokens = await loop.run_in_executor(executor, self._tokens, [self._prefixes[kind] + text for text in texts])

        async def fill(rows: list[int]) -> None:
            vectors[rows] = await loop.run_in_executor(executor, self._encode, [tokens[row] for row in rows])

        await asyncio.gather(*(fill(rows) for rows in _batches([len(ids) for ids in tokens])))
        if kind == "query":
            self._recent.keep(texts, vectors)
        return vectors

    def _tokens(self, texts: list[str]) -> list[Tokens]:
        clean = [text if text.isascii() else text.encode("utf-8", "replace").decode() for text in texts]
        return [encoding.ids or [0] for encoding in self._tokenizer.encode_batch_fast(clean)]

    def _encode(self, batch: list[Tokens]) -> Vector:
        lengths = np.array([len(ids) for ids in batch])
        positions = np.arange(lengths.max())
        mask = (positions < lengths[:, None]).astype(np.int64)
        ids = np.zeros_like(mask)
        for row, tokens in enumerate(batch):
            ids[row, : len(tokens)] = tokens
        feed = {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
            "position_ids": np.broadcast_to(positions, mask.shape).copy(),
        }
        (hidden,) = self._session.run([self._output], {key: feed[key] for key in self._inputs})
        pooled = hidden[:, 0] if self._pooling == "cls" else np.einsum("bld,bl->bd", hidden, mask.astype(np.float32))
        norms = np.linalg.norm(pooled, axis=1, keepdims=True)
        return cast("Vector", (pooled / np.maximum(norms, 1e-12)).astype(np.float32))


def open_folder(
    folder: Path,
    *,
    pooling: Literal["mean", "cls"] = "mean",
    max_tokens: int = 256,
    query_prefix: str = "",
    passage_prefix: str = "",
    languages: frozenset[str] = frozenset(),
    threads: int = 0,
) -> OnnxEmbedder:
    """The model in a folder as the Hub has them: `model.onnx` or `onnx/model.onnx`, and `tokenizer.json`.

    Its name is the folder's with a fingerprint of model, tokenizer and preparation.

    Raises:
        SetupError: a file is missing or broken, or the model is no text encoder.
    """
    graph = next((path for path in (folder / "model.onnx", folder / "onnx" / "model.onnx") if path.is_file()), None)
    tokenizer = folder / "tokenizer.json"
    if graph is None or not tokenizer.is_file():
        missing = "model.onnx (or onnx/model.onnx)" if graph is None else "tokenizer.json"
        raise SetupError(f"{folder} holds no {missing}: embedder.path must name a folder with an ONNX model")
    preparation = f"{pooling}\0{max_tokens}\0{query_prefix}\0{passage_prefix}"
    digest = _fingerprint([*sorted(graph.parent.glob(f"{graph.name}*")), tokenizer], preparation)
    return OnnxEmbedder(
        graph,
        tokenizer,
        name=f"{folder.resolve().name}@{digest}",
        pooling=pooling,
        max_tokens=max_tokens,
        query_prefix=query_prefix,
        passage_prefix=passage_prefix,
        languages=languages,
        threads=threads,
    )


def _batches(lengths: list[int]) -> list[list[int]]:
    """Rows of like length together, longest first, at most 16 of them and so many tokens that memory stays small."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    batches = []
    while order:
        size = max(1, min(_ROWS, _BATCH_TOKENS // max(1, lengths[order[0]])))
        batches.append(order[:size])
        order = order[size:]
    return batches


def _cores() -> int:
    """Those that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tokenizer(path: Path, max_tokens: int) -> _Tokenizer:
    from tokenizers import Tokenizer

    try:
        tokenizer = cast("_Tokenizer", Tokenizer.from_file(str(path)))
    except Exception as error:  # the library raises bare Exception for whatever is wrong with the file
        raise SetupError(f"{path} is no tokenizer: {error}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def _session(graph: Path | bytes, weights_folder: Path | None) -> _Session:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if weights_folder is not None:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(weights_folder))
    model = graph if isinstance(graph, bytes) else str(graph)
    try:
        return cast("_Session", ort.InferenceSession(model, options, providers=["CPUExecutionProvider"]))
    except Exception as error:  # onnxruntime has a dozen unrelated exception classes
        what = weights_folder if isinstance(graph, bytes) else graph
        raise SetupError(f"ONNX Runtime cannot load the model in {what}: {error}") from None


def _fingerprint(files: Sequence[Path], preparation: str) -> str:
    """Twelve hex digits of sizes, first and last MiB of each file: whole models are too large to hash at each start."""
    digest = blake2b(preparation.encode(), digest_size=6)
    for path in files:
        size = path.stat().st_size
        digest.update(f"\0{path.name}\0{size}\0".encode())
        with path.open("rb") as file:
            digest.update(file.read(_ENDS))
            file.seek(max(_ENDS, size - _ENDS))
            digest.update(file.read(_ENDS))
    return digest.hexdigest()
