"""What a cell's id depends on, and what the log has of it."""

from msgspec import Raw
from msgspec.structs import replace

from rungwise_pipelines.evaluation.cells import ROUTE, Wanted, attempt_id, known, tokens_of, wanted
from rungwise_server.engine import Engine
from rungwise_server.evals import Example, example_id
from rungwise_server.log.memory import MemoryLog
from rungwise_server.prompt import Prompt, text_message
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.log import an_inference
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.retriever import passage
from rungwise_server.types import Caller, Passage


def example(question: str = "how many days of leave", caller: Caller = Caller("ana"), **params: bytes) -> Example:  # noqa: B008 a frozen value
    messages, fields = (text_message("user", question),), {name: Raw(value) for name, value in params.items()}
    return Example(example_id(messages, caller, fields), messages, caller, "hand", params=fields)


def engine(*passages: Passage, prompt: Prompt | None = None) -> Engine:
    found = passages or (passage("28 days of leave", "everyone"),)
    return small_engine(ScriptedModel(), passages=found, others={"weak": ScriptedModel()}, prompt=prompt)


async def ids(of: Engine, *examples: Example, made_of: str = "model-1") -> list[str]:
    return [cell.id for cell in await wanted(of, "default", examples, {"strong": made_of})]


async def test_the_same_is_the_same() -> None:
    assert await ids(engine(), example()) == await ids(engine(), example())


async def test_whatever_changes_an_answer_changes_its_id() -> None:
    finance = Caller("ana", frozenset({"finance"}))
    found = [
        *await ids(engine(), example(), example("how many days"), example(caller=finance), example(temperature=b"1")),
        *await ids(engine(), example(), made_of="model-2"),
        *await ids(engine(passage("30 days of leave", "everyone", number=2)), example()),
        *await ids(engine(prompt=Prompt("brief", "Be brief.")), example()),
        *[cell.id for cell in await wanted(engine(), "default", [example()], {"weak": "model-1", ROUTE: "model-1"})],
    ]
    assert len(set(found)) == len(found) == 9


async def test_examples_are_asked_as_their_callers() -> None:
    of = engine(passage("28 days of leave", "group:finance"))
    retriever = of.workloads["default"].retriever
    assert retriever
    cells = await wanted(of, "default", [example(caller=Caller("ana", frozenset({"finance"})))], {"strong": "m"})
    assert cells[0].model == "default/strong"
    assert retriever.searched[0][1].groups == {"finance"}  # type: ignore[attr-defined]


async def test_what_is_read_is_reckoned_from_the_whole_prompt() -> None:
    short, long = [
        (await wanted(engine(passage(f"leave {'word ' * n}", "everyone")), "default", [example()], {"strong": "m"}))[0]
        for n in (1, 400)
    ]
    assert 480 < long.tokens - short.tokens < 520
    assert tokens_of("日本語の文") >= 3


def cell(id: str, candidate: str = "strong") -> Wanted:
    return Wanted(example(), candidate, f"default/{candidate}", id, 10)


async def test_the_log_is_the_cache() -> None:
    log = MemoryLog()
    cells = [cell("eval-ok"), cell("eval-again"), cell("eval-failed"), cell("eval-new"), cell("eval-other")]
    cells.append(cell("eval-routed", ROUTE))
    ok = an_inference(candidate="strong", outcome="ok", surface="eval")
    failed = replace(ok, outcome="failed", choices=())
    for row in (
        replace(ok, id="eval-ok"),
        replace(failed, id="eval-again"),
        replace(ok, id="eval-again-2"),
        replace(failed, id="eval-failed"),
        replace(failed, id="eval-failed-2"),
        replace(ok, id="eval-other", candidate="weak"),
        replace(ok, id="eval-routed", candidate="weak"),
    ):
        await log.append(row)
    found = await known(log, cells)
    answers = {id: one.answer.id if one.answer else "" for id, one in found.items()}
    assert answers == {
        "eval-ok": "eval-ok",
        "eval-again": "eval-again-2",
        "eval-failed": "",
        "eval-new": "",
        "eval-other": "",
        "eval-routed": "eval-routed",
    }
    assert attempt_id("eval-failed", found["eval-failed"].attempts + 1) == "eval-failed-3"
    assert attempt_id("eval-new", found["eval-new"].attempts + 1) == "eval-new"
    assert found["eval-other"].attempts == 1
