"""`rungwise ask`: one question through the whole house, its answer streamed to the terminal, its sources below."""

import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.options import As, Config, Group, Json, caller_of, settings_of
from rungwise_pipelines.commands.output import emit, plain, say

if TYPE_CHECKING:
    from rungwise_server.answer import Answer
    from rungwise_server.config.settings import Settings
    from rungwise_server.types import Passage


def ask(
    workload: Annotated[str, typer.Argument(help="A workload, or a candidate to pin.", metavar="WORKLOAD")],
    question: Annotated[str, typer.Argument(help="What to ask.", metavar="QUESTION")],
    user: As = "",
    group: Group = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Ask a question and show the answer with its sources."""
    asyncio.run(_ask(settings_of(config), workload, question, user, group, as_json))


async def _ask(
    settings: "Settings", workload: str, question: str, user: str, groups: Sequence[str] | None, as_json: bool
) -> None:
    import msgspec

    from rungwise_server.bootstrap import open_house
    from rungwise_server.types import ChatRequest, Message, new_id

    caller = await caller_of(settings, user, groups)
    raw = msgspec.Raw(msgspec.json.encode({"role": "user", "content": question}))
    request = ChatRequest(new_id("chatcmpl"), workload, (Message("user", question, raw),))
    house = await open_house(settings, role="rungwise ask")
    try:
        async with await house.engine.chat(request, caller, "command") as answer:
            async for delta in answer:
                if not as_json:
                    sys.stdout.write(plain(delta.text))
                    sys.stdout.flush()
            if as_json:
                emit(_told(answer))
            else:
                say()
                _show_sources(answer)
    finally:
        await house.close()


def sources(answer: "Answer") -> "list[tuple[int, Passage]]":
    """The passages that the answer cites, each with the number that its marker has, in the order of the numbers."""
    cited = {citation.passage_id for citation in answer.citations}
    return [(number, passage) for number, passage in enumerate(answer.passages, 1) if passage.id in cited]


def _told(answer: "Answer") -> dict[str, object]:
    return {
        "id": answer.id,
        "answer": answer.choices[0].text if answer.choices else "",
        "candidate": answer.candidate,
        "model": answer.model,
        "route": {"reason": answer.route.reason, "policy": answer.route.policy} if answer.route else None,
        "sources": [
            {"number": number, "passage_id": p.id, "document_id": p.document_id, "place": p.place, "text": p.text}
            for number, p in sources(answer)
        ],
    }


def _show_sources(answer: "Answer") -> None:
    found = sources(answer)
    if found:
        say()
    for number, passage in found:
        say(f"[{number}] {passage.place}" + (f"  {passage.url}" if passage.url else f"  ({passage.document_id})"))
    say(f"\n{answer.candidate}, {answer.id}")
