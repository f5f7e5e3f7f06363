"""The cells of a run: each example by each candidate, under an id that says what is asked of what.

The id of an answer is derived from the question, whose it is, what the candidate is made of, and the passages that are
retrieved for it now. So the log is the cache: an answer that is there under its id is not asked for again, by whichever
run it was; and where a document, a prompt or a model has changed, so has the id. A failed attempt keeps its id, and the
next goes under `-2`, `-3`.
"""

import asyncio
import hashlib
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import version

import msgspec
from msgspec import Raw, Struct

from rungwise_server.config.settings import CandidateSettings, Settings
from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.errors import NotFound
from rungwise_server.evals import Example
from rungwise_server.prompt import compose
from rungwise_server.protocols import InferenceLog
from rungwise_server.question import is_housekeeping, search_query
from rungwise_server.records import Inference, LogQuery
from rungwise_server.types import Passage

ROUTE = "route"
"""As a candidate: the workload's own route, whoever it chooses."""

_AT_ONCE = 8
_READ = 500


class Wanted(Struct, frozen=True):
    """A cell to be filled. `id` is the inference's, of the first attempt; `model` is what the engine is asked for."""

    example: Example
    candidate: str
    model: str
    id: str
    tokens: int
    """About how many the candidate will read."""


class Known(Struct, frozen=True):
    """What the log has of a cell: its answer, or how many attempts have failed."""

    answer: Inference | None = None
    attempts: int = 0
    last: Inference | None = None
    """The last attempt that failed."""


def attempt_id(id: str, attempt: int) -> str:
    """Of the attempts at a cell, counted from 1."""
    return id if attempt == 1 else f"{id}-{attempt}"


def identities(settings: Settings, workload: str, names: Sequence[str]) -> dict[str, str]:
    """What each candidate of a run is made of, its prompt aside: with another identity it is asked anew.

    Raises:
        NotFound: naming the candidates that there are.
    """
    found = {}
    for name in names:
        if name == ROUTE:
            chosen = settings.workloads[workload]
            parts: object = [
                chosen.route.model_dump(mode="json"),
                [(n, _made_of(settings.candidates[n], settings)) for n in chosen.candidates],
            ]
        elif name in settings.candidates:
            parts = _made_of(settings.candidates[name], settings)
        else:
            known = ", ".join([*settings.candidates, ROUTE])
            raise NotFound(f"There is no candidate {name!r}. There are: {known}.", param="candidates")
        found[name] = msgspec.json.encode(parts, order="sorted").decode()
    return found


def _made_of(candidate: CandidateSettings, settings: Settings) -> object:
    parts: list[object] = [candidate.kind, candidate.model or candidate.url, dict(candidate.params)]
    if candidate.kind == "extractive":
        # What it says depends on its code and on the embedder.
        parts += [version("rungwise"), settings.embedder.model_dump(mode="json")]
    return parts


async def wanted(
    engine: Engine, workload: str, examples: Sequence[Example], identity: Mapping[str, str]
) -> list[Wanted]:
    """All cells of a run, example by example. Raises what the retriever raises."""
    chosen = engine.workloads[workload]
    found = await _passages(chosen, examples)
    cells = []
    for example, passages in zip(examples, found, strict=True):
        for name, made_of in identity.items():
            candidate = None if name == ROUTE else engine.candidates[name]
            cells.append(
                Wanted(
                    example,
                    name,
                    workload if candidate is None else f"{workload}/{name}",
                    _id(example, passages, f"{name} {made_of}", _prompts(engine, chosen, candidate)),
                    _tokens(example, passages, candidate, chosen),
                )
            )
    return cells


async def _passages(workload: Workload, examples: Sequence[Example]) -> list[Sequence[Passage] | None]:
    """What the engine will retrieve for each example."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one(example: Example) -> Sequence[Passage] | None:
        query = search_query(example.messages)
        if workload.retriever is None or not query or is_housekeeping(example.messages):
            return None
        async with room:
            return await workload.retriever.retrieve(query, example.caller, workload.passages)

    return list(await asyncio.gather(*(one(example) for example in examples)))


def _prompts(engine: Engine, workload: Workload, candidate: Candidate | None) -> list[str]:
    """The ids of the prompts that may be put before the question."""
    those = [candidate] if candidate else [engine.candidates[name] for name in workload.candidates]
    prompts = [one.prompt or workload.prompt for one in those if one.generates]
    return [prompt.id for prompt in prompts if prompt]


def _id(example: Example, passages: Sequence[Passage] | None, made_of: str, prompts: Sequence[str]) -> str:
    # The example's own id is over its messages, the principals of its caller and its parameters.
    parts = [example.id, made_of, list(prompts), None if passages is None else [p.id for p in passages]]
    return f"eval-{hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:24]}"


def _tokens(
    example: Example, passages: Sequence[Passage] | None, candidate: Candidate | None, workload: Workload
) -> int:
    prompt = (candidate.prompt if candidate else None) or workload.prompt
    composed = compose(prompt, example.messages, passages)
    return sum(tokens_of(message.text) for message in composed) + 4 * len(composed)


def tokens_of(text: str) -> int:
    """About as many tokens as models see: four characters of Latin script, or one and a half of others, are one."""
    latin = sum(character < "\u0370" for character in text)
    return round(latin / 4 + (len(text) - latin) / 1.5)


async def known(log: InferenceLog, cells: Collection[Wanted]) -> dict[str, Known]:
    """What the log has of cells, by id. What another candidate answered in the place of the one that was asked is no
    answer.
    """
    by = {cell.id: cell.candidate for cell in cells}
    found = {id: Known() for id in by}
    open_ = list(found)
    attempt = 0
    while open_:
        attempt += 1
        rows = await _read(log, {attempt_id(id, attempt): id for id in open_})
        for id, row in rows.items():
            ok = row.outcome == "ok" and by[id] in (ROUTE, row.candidate)
            found[id] = Known(row, attempt) if ok else Known(None, attempt, row)
        open_ = [id for id in rows if found[id].answer is None]
    return found


async def _read(log: InferenceLog, asked: Mapping[str, str]) -> dict[str, Inference]:
    """The rows of ids, by what each stands for."""
    found = {}
    ids = list(asked)
    for at in range(0, len(ids), _READ):
        query = LogQuery(kind="inference", ids=frozenset(ids[at : at + _READ]), housekeeping=True, own=True)
        async for row in log.read(query):
            assert isinstance(row, Inference)
            found[asked[row.id]] = row
    return found


def request_fields(example: Example) -> Mapping[str, Raw]:
    """The client's other fields, as they are asked again: one answer is enough, and how it streams is ours."""
    return {name: value for name, value in example.params.items() if name not in ("stream", "stream_options", "n")}
