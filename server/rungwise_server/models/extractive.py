"""The embedded model: no language model at all. It answers in the documents' own sentences, each cited.

Every passage is cut into units (`sentences`), each unit is scored against the question by meaning (the embedder) and by
words (`overlap`), and the best few that say different things are the answer. What was found is either good enough to be
one, or the answer is that the documents hold none. The numbers below were fitted once, on public data sets with
questions that have an answer in their passages and questions that have none; see `_Weights`.
"""

import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec import Raw, Struct

from rungwise_server.errors import UpstreamRefused
from rungwise_server.protocols import Embedder
from rungwise_server.text.overlap import likely_language, overlaps, rarity, terms
from rungwise_server.text.sentences import UNSPACED, Unit, units
from rungwise_server.types import ChatRequest, Citation, Delta, Passage, Usage, Vector

_TOKEN = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")
_SAME_MEANING, _SAME_WORDS = 0.92, 0.8  # from here on, two units say the same
_EMBEDDED = 12  # units that are embedded, the best by words and rank: some 7 ms of CPU each
_MOST = 3  # units in an answer
_CONTEXT = 160  # characters of title and headings that a unit is read with

_NO_ANSWER = {
    "en": "The documents I may read for you do not answer this.",
    "de": "Die Dokumente, die ich für dich lesen darf, beantworten das nicht.",
    "fr": "Les documents que je peux lire pour vous ne répondent pas à cette question.",
    "es": "Los documentos que puedo leer para usted no responden a esta pregunta.",
    "ja": "閲覧を許可されている文書には、この質問への答えがありません。",
    "zh": "我可以为您查阅的文档中没有这个问题的答案。",
}

# Texts about nothing that anyone asks: how near they are to a question shows where an embedder's scale begins.
_BACKGROUND = (
    "The lake was calm in the morning.",
    "She put the blue cup back on the shelf.",
    "An old tree stands behind the house.",
    "They walked home slowly after the concert.",
)


class _Weights(Struct, frozen=True):
    """How the signals of a unit add up, each from 0 to 1: in `score` to order units, in `evidence` to believe the best.

    Logistic regressions on 1,330 questions, each with the six best passages by BM25: CLAPnq, LiHuaWorld, AWS
    documentation, XQuAD (en, de, zh), JSQuAD; those without an answer are the sets' own or have their document removed.
    """

    meaning: float
    words: float
    context: float
    rank: float
    bias: float
    evidence: tuple[float, float, float]
    """Of meaning, words, context."""
    drop: float
    """How far behind the best a further unit of the answer may be."""


_WITH_MEANING = _Weights(4.0, 1.0, 1.0, 2.0, bias=-2.4, evidence=(2.7, 1.2, 1.2), drop=0.9)
_WORDS_ALONE = _Weights(0.0, 3.0, 3.0, 2.5, bias=-1.8, evidence=(0.0, 3.4, 3.1), drop=0.9)


class _Found(Struct):
    """A unit in its passage, and what is known of it."""

    unit: Unit
    passage: Passage
    number: int
    """The passage's place among the request's, from 1: what the marker says."""
    terms: dict[str, float]
    score: float = 0.0
    evidence: float = 0.0


class Extractive:
    """A `ChatModel` that quotes.

    Args:
        embedder: compares units with the question, where it was trained for the question's language.
        language: the ISO 639-1 code of a text, empty when unsure.

    It reads `request.query` and `request.passages` alone. Its tokens in `usage` are words, and characters of scripts
    without spaces: an estimate, no model having counted them; limits of tokens and `stop` hold for the same words. The
    same request has the same answer, so sampling parameters mean nothing here; what it cannot do (tools that must be
    called, JSON, `n` above 1, logprobs, audio) it refuses. Tools that it need not call it does not call.
    """

    def __init__(self, embedder: Embedder, language: Callable[[str], str]) -> None:
        self._embedder = embedder
        self._language = language
        self._background: Vector | None = None

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """One Delta a unit, with its citation; then the finish. Raises UpstreamRefused, or what the embedder raises."""
        _refuse(request.params)
        language = self._language(request.query) or likely_language(request.query)
        deltas = _said(await self._answer(request, language)) or [
            Delta(text=_NO_ANSWER.get(language, _NO_ANSWER["en"]), model="extractive")
        ]
        whole = "".join(delta.text for delta in deltas)
        end, finish = _end(whole, request.params)
        at = 0
        for delta in deltas:
            left, at = end - at, at + len(delta.text)
            if left > 0:
                yield delta if at <= end else _clipped(delta, left, end)
        read = _tokens(request.query) + sum(_tokens(passage.text) for passage in request.passages)
        usage = Usage(input_tokens=read, output_tokens=_tokens(whole[:end]))
        yield Delta(finish_reason=finish, usage=usage, model="" if end else "extractive")

    async def _answer(self, request: ChatRequest, language: str) -> list[_Found]:
        asked = terms(request.query, language)
        found = _read(request.passages, language)
        if not found or not asked:
            return []
        knows = not self._embedder.languages or not language or language in self._embedder.languages
        weights = _WITH_MEANING if knows else _WORDS_ALONE
        own = overlaps(asked, [f.terms for f in found])
        wide = overlaps(asked, [{**terms(_context(f)), **f.terms} for f in found])
        worth = np.array(rarity(asked, own))
        worth /= worth.sum()
        signals = np.zeros((len(found), 3))
        signals[:, 1], signals[:, 2] = np.array(own) @ worth, np.array(wide) @ worth
        scores = signals @ [weights.meaning, weights.words, weights.context]
        scores += [weights.rank / f.number for f in found]
        vectors = None
        if knows:
            kept = np.argsort(-scores, kind="stable")[:_EMBEDDED]
            found, signals, scores = [found[i] for i in kept], signals[kept], scores[kept]
            signals[:, 0], vectors = await self._meaning(request.query, found)
            scores += weights.meaning * signals[:, 0]
        evidence = weights.bias + signals @ weights.evidence
        for f, score, believed in zip(found, scores, evidence, strict=True):
            f.score, f.evidence = float(score), float(believed)
        return _choose(found, vectors, weights)

    async def _meaning(self, query: str, found: Sequence[_Found]) -> tuple[Vector, Vector]:
        """How near each unit is to the question, 0 (as unrelated texts) to 1, and the units' vectors."""
        fresh = list(_BACKGROUND) if self._background is None else []
        texts = [f"{_context(f)} {f.unit.text}".strip() for f in found]
        vectors = await self._embedder.embed([*texts, *fresh], "passage")
        if self._background is None:
            self._background = vectors[len(texts) :]
        question = (await self._embedder.embed([query], "query"))[0]
        base = float((self._background @ question).mean())
        return (vectors[: len(texts)] @ question - base) / max(1e-6, 1 - base), vectors[: len(texts)]


def _read(passages: Sequence[Passage], language: str) -> list[_Found]:
    """The units of all passages, each text once."""
    seen: set[str] = set()
    found: list[_Found] = []
    for number, passage in enumerate(passages, 1):
        for unit in units(passage.text):
            if unit.text not in seen:
                seen.add(unit.text)
                found.append(_Found(unit, passage, number, terms(unit.text, language)))
    return found


def _context(found: _Found) -> str:
    """What the unit stands under: title, headings, the line that leads its list in."""
    parts = dict.fromkeys([found.passage.title, *found.passage.headings[-2:], *found.unit.context.split("\n")])
    return " - ".join(part for part in parts if part)[:_CONTEXT]


def _choose(found: Sequence[_Found], vectors: Vector | None, weights: _Weights) -> list[_Found]:
    """The units of the answer, in reading order: the best, its neighbours, then what other documents say."""
    order = sorted(range(len(found)), key=lambda i: -found[i].score)
    best = found[order[0]]
    if best.evidence < 0:
        return []
    taken: list[int] = []
    for i in order:
        if len(taken) == _MOST or found[i].score < best.score - weights.drop:
            break
        if all(_differ(found, vectors, i, other) for other in taken):
            taken.append(i)
    chosen = [found[i] for i in taken]
    ranks = {f.passage.document_id: place for place, f in reversed(list(enumerate(chosen)))}
    return sorted(
        chosen, key=lambda f: (f is not best, ranks[f.passage.document_id], f.passage.start, f.number, f.unit.start)
    )


def _differ(found: Sequence[_Found], vectors: Vector | None, one: int, other: int) -> bool:
    """Whether two units say different things."""
    if vectors is not None and float(vectors[one] @ vectors[other]) > _SAME_MEANING:
        return False
    a, b = set(found[one].terms), set(found[other].terms)
    return len(a & b) < _SAME_WORDS * min(len(a), len(b))


def _said(chosen: Sequence[_Found]) -> list[Delta]:
    """The units as they are written, each with its citation."""
    deltas: list[Delta] = []
    said = 0
    for number, found in enumerate(chosen):
        lead = "" if not number else "\n" if found.unit.own_line or chosen[number - 1].unit.own_line else " "
        text = f"{lead}{'- ' if found.unit.own_line and len(chosen) > 1 else ''}{found.unit.text} [{found.number}]"
        start = said + len(lead)
        said += len(text)
        cited = Citation(found.passage.id, found.passage.title or found.passage.document_id, start, said)
        deltas.append(Delta(text=text, citations=(cited,), model="" if number else "extractive"))
    return deltas


def _end(text: str, params: Mapping[str, Raw]) -> tuple[int, str]:
    """Where the client wants `text` to end, and the reason: a `stop`, or so many tokens."""
    limits = [_decoded(params.get(name), int) for name in ("max_completion_tokens", "max_tokens")]
    ends = [match.end() for match in _TOKEN.finditer(text)]
    end = min([len(text), *(ends[limit - 1] for limit in limits if limit is not None and 0 < limit < len(ends))])
    stops = _decoded(params.get("stop"), str | list[str]) or []
    found = [text.find(stop) for stop in ([stops] if isinstance(stops, str) else stops) if stop and stop in text]
    if found and min(found) <= end:
        return min(found), "stop"
    return end, "length" if end < len(text) else "stop"


def _clipped(delta: Delta, length: int, end: int) -> Delta:
    """`delta` up to `length` characters, the answer's `end`."""
    cited = tuple(msgspec.structs.replace(c, end=end) for c in delta.citations if c.start < end)
    return msgspec.structs.replace(delta, text=delta.text[:length], citations=cited)


def _tokens(text: str) -> int:
    return len(_TOKEN.findall(text))


class _Typed(Struct):
    type: str = ""


def _refuse(params: Mapping[str, Raw]) -> None:
    """Raises UpstreamRefused for what a model that only quotes cannot do."""
    for name in ("tool_choice", "function_call", "response_format", "n", "logprobs", "modalities"):
        value = bytes(params.get(name, b"null")).strip()
        reason = ""
        if name in ("tool_choice", "function_call") and value not in (b'"auto"', b'"none"', b"null"):
            reason = "it cannot call tools"
        elif name == "response_format" and value != b"null" and _kind(value) != "text":
            reason = "it cannot write JSON"
        elif name == "n" and value not in (b"1", b"null"):
            reason = "it has one answer, not several"
        elif name == "logprobs" and value == b"true":
            reason = "it has no token probabilities"
        elif name == "modalities" and b'"audio"' in value:
            reason = "it has no voice"
        if reason:
            message = f"The extractive model only quotes documents: {reason}. Leave {name!r} out, or ask another model."
            raise UpstreamRefused(message, status=400, param=name)


def _kind(value: bytes) -> str:
    shape = _decoded(Raw(value), _Typed)
    return shape.type if isinstance(shape, _Typed) else ""


def _decoded(value: Raw | None, kind: Any) -> Any:
    """None where it is not there, or of another kind."""
    try:
        return msgspec.json.decode(value or b"null", type=kind | None)
    except msgspec.DecodeError:
        return None
