from rungwise_server.prompt import text_message
from rungwise_server.routing.housekeeping import Housekeeping
from rungwise_server.routing.rules import Pinned, Rules, When
from rungwise_server.types import Caller, Passage, Question

PASSAGE = Passage("p", "d", "c", "t", frozenset({"everyone"}))
ALL = frozenset({"tools", "json", "logprobs", "images"})
CANDIDATES = {"cheap": frozenset[str](), "strong": ALL}


def question(
    text: str = "hi", *, groups: tuple[str, ...] = (), asks: tuple[str, ...] = (), program: bool = False
) -> Question:
    caller = Caller("ana", frozenset(groups))
    return Question("w", caller, (text_message("user", text),), text, frozenset(asks), program)


async def test_the_first_rule_that_holds_decides_and_says_why() -> None:
    router = Rules(CANDIDATES, [(When(groups=frozenset({"legal"})), "strong"), (When(min_chars=10), "strong")])
    chosen = await router.route(question(groups=("legal",)), [PASSAGE])
    assert chosen.candidate == "strong"
    assert "legal" in chosen.reason
    assert chosen.propensities == {"cheap": 0.0, "strong": 1.0}
    assert "10 characters" in (await router.route(question("a longer text"), [PASSAGE])).reason
    assert (await router.route(question(), [PASSAGE])).candidate == "cheap"


async def test_evidence_decides() -> None:
    router = Rules(CANDIDATES, [(When(evidence="none"), "strong")])
    assert (await router.route(question(), [])).candidate == "strong"
    assert (await router.route(question(), [PASSAGE])).candidate == "cheap"


async def test_a_candidate_that_cannot_is_passed_over() -> None:
    router = Rules(CANDIDATES, [(When(), "cheap")])
    chosen = await router.route(question(asks=("tools",)), [PASSAGE])
    assert chosen.candidate == "strong"
    assert "tools" in chosen.reason


async def test_where_nobody_can_the_first_still_answers() -> None:
    chosen = await Rules({"cheap": frozenset()}).route(question(asks=("tools",)), [PASSAGE])
    assert chosen.candidate == "cheap"


async def test_housekeeping_goes_to_the_cheapest_and_never_reaches_the_router() -> None:
    router = Housekeeping(Pinned("strong", "pinned"), "cheap")
    assert (await router.route(question(program=True), [])).policy == "housekeeping"
    assert (await router.route(question(), [])).candidate == "strong"
