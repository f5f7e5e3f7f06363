"""A learned router as one file: what is in it as a line of JSON, then arrays of numbers. Nothing in it is run.

    RUNGWISE-ROUTER 1 SHA256\n
    {"features": ..., "embedder": ..., "candidates": [...], "arrays": [{"name", "shape"}, ...], ...}\n
    arrays one after another: float32, little-endian, row by row

SHA256 is over everything after the first line.
"""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct

from rungwise_server.errors import EmbedderMismatch, SetupError
from rungwise_server.routing.basis import SHAPES, Basis
from rungwise_server.routing.estimate import Curves, Estimator, Weights
from rungwise_server.routing.features import FEATURES, HASHED
from rungwise_server.types import Vector

FILE = "router.rungwise"
"""What the file is called in the folder that `rungwise router fit -o` names."""

_KIND = b"RUNGWISE-ROUTER "
_FIRST = _KIND + b"1 "
_START = len(_FIRST) + 64 + 1
_LARGEST = 64 << 20
_HEADER = 1 << 20
_AGAIN = "Write it anew with `rungwise router fit`."


class About(Struct, frozen=True):
    """Where a router comes from. `counts` are the outcomes of each candidate, `costs` its mean cost (None where
    unknown), `calibration` how its probabilities erred on what they were not learned from (`ece`, `brier`).
    """

    embedder: str
    fitted_at: str = ""
    counts: Mapping[str, int] = {}
    costs: Mapping[str, float | None] = {}
    calibration: Mapping[str, float] = {}
    notes: tuple[str, ...] = ()


class _Array(Struct, frozen=True):
    name: str
    shape: tuple[int, ...]


class _Head(Struct, frozen=True):
    features: int
    candidates: tuple[str, ...]
    about: About
    arrays: tuple[_Array, ...]
    familiar: tuple[float, float]


def save(path: Path, estimator: Estimator, about: About) -> str:
    """Write the file, whole or not at all; returns its sha256. Raises SetupError where it cannot be written."""
    arrays = _arrays(estimator)
    head = _Head(
        FEATURES,
        estimator.candidates,
        about,
        tuple(_Array(name, array.shape) for name, array in arrays.items()),
        estimator.familiar,
    )
    body = b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in arrays.values())
    content = msgspec.json.encode(head) + b"\n" + body
    digest = hashlib.sha256(content).hexdigest()
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(_FIRST + digest.encode() + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from None
    return digest


def load(path: Path, embedder: str) -> tuple[Estimator, About, str]:
    """The estimator in a file (or in the folder that holds it), where it comes from, and its sha256.

    Raises:
        SetupError: there is none, it is damaged, or another version of rungwise wrote it.
        EmbedderMismatch: it was learned from vectors of another embedder than `embedder`.
    """
    path = path / FILE if path.is_dir() else path
    try:
        if path.stat().st_size > _LARGEST:
            raise SetupError(f"{path} is no router: it is larger than any.")
        data = path.read_bytes()
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    head, body, digest = _opened(path, data)
    if head.features != FEATURES:
        raise SetupError(f"{path} was learned from features {head.features}, this version has {FEATURES}. {_AGAIN}")
    if head.about.embedder != embedder:
        raise EmbedderMismatch(
            f"{path} was learned from vectors of {head.about.embedder}, and the embedder is {embedder}: their vectors "
            f"have nothing to do with each other. {_AGAIN}"
        )
    return _estimator(path, head, body), head.about, digest


def _opened(path: Path, data: bytes) -> tuple[_Head, bytes, str]:
    """The header, the arrays' bytes, and the digest that they have."""
    if not data.startswith(_FIRST):
        if data.startswith(_KIND):
            raise SetupError(f"{path} was written by another version of rungwise. {_AGAIN}")
        raise SetupError(f"{path} is no router, or its beginning is damaged. {_AGAIN}")
    digest = hashlib.sha256(data[_START:]).hexdigest()
    if data[len(_FIRST) : _START] != digest.encode() + b"\n":
        raise SetupError(f"{path} is damaged: its content is not what its sha256 says. {_AGAIN}")
    end = max(data.find(b"\n", _START, _START + _HEADER), _START)
    try:
        head = msgspec.json.decode(data[_START:end], type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SetupError(f"{path} is damaged: its header cannot be read. {_AGAIN}") from None
    return head, data[end + 1 :], digest


def _arrays(estimator: Estimator) -> dict[str, Vector]:
    parts: dict[str, Struct] = {"basis": estimator.basis, "weights": estimator.weights, "curves": estimator.curves}
    return {
        f"{name}.{key}": value for name, part in parts.items() for key, value in msgspec.structs.asdict(part).items()
    }


def _estimator(path: Path, head: _Head, body: bytes) -> Estimator:
    """The parts, each of the shape that the others ask for. A right hash does not say that its writer was."""
    found: dict[str, Vector] = {}
    at = 0
    for array in head.arrays:
        size = 4
        for length in array.shape:
            size *= max(length, 0)
        found[array.name] = np.frombuffer(body[at : at + size], "<f4").astype(np.float32)
        if found[array.name].size * 4 != size:
            raise _misshapen(path)
        found[array.name] = found[array.name].reshape(array.shape)
        at += size
    try:
        basis = Basis(**_part(found, "basis"))
        weights = Weights(**_part(found, "weights"))
        curves = Curves(**_part(found, "curves"))
        count, (parts,) = len(head.candidates), weights.offset.shape
        expected = (
            (basis.rarity, (HASHED,)),
            (basis.centre, (SHAPES,)),
            (basis.scale, (SHAPES,)),
            (basis.shapes, (len(basis.shapes), SHAPES)),
            (basis.meanings, (len(basis.meanings), basis.meanings.shape[1])),
            (weights.words, (HASHED, parts)),
            (weights.meanings, (len(basis.meanings), parts)),
            (weights.shapes, (len(basis.shapes), parts)),
            (weights.offset, (parts,)),
            (weights.mixing, (parts, count)),
            (weights.means, (count,)),
            (curves.scores, (count, curves.scores.shape[1])),
            (curves.probabilities, curves.scores.shape),
        )
    except (TypeError, ValueError, IndexError):
        raise _misshapen(path) from None
    sound = count > 0 and curves.scores.shape[1] > 0 and len(set(head.candidates)) == count
    sound = sound and all(array.shape == shape for array, shape in expected)
    sound = sound and all(bool(np.isfinite(array).all()) for array, _ in expected)
    if not sound or at != len(body):
        raise _misshapen(path)
    return Estimator(head.candidates, basis, weights, curves, head.familiar)


def _part(found: Mapping[str, Vector], name: str) -> dict[str, Vector]:
    return {key.partition(".")[2]: value for key, value in found.items() if key.startswith(f"{name}.")}


def _misshapen(path: Path) -> SetupError:
    return SetupError(f"{path} is damaged: its arrays do not fit together. {_AGAIN}")
