"""A small engine over given parts, as most tests of the API and its clients want one."""

from collections.abc import Callable, Sequence

from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.log.memory import MemoryLog
from rungwise_server.prompt import Prompt
from rungwise_server.protocols import ChatModel, InferenceLog, Retriever, Router
from rungwise_server.routing.housekeeping import Housekeeping
from rungwise_server.routing.rules import Pinned
from rungwise_server.testing.retriever import FixedRetriever
from rungwise_server.types import Passage, Price, Search


def small_engine(
    model: ChatModel,
    *,
    passages: Sequence[Passage] | None = None,
    log: InferenceLog | None = None,
    router: Router | None = None,
    others: dict[str, ChatModel] | None = None,
    prompt: Prompt | None = None,
    retriever: Retriever | None = None,
    searcher: Callable[[Search], Retriever] | None = None,
    grounding: Prompt | None = None,
) -> Engine:
    """One workload `default` with the candidates `strong` (which is `model`) and `others`.

    With neither `passages` nor a `retriever` nothing is searched. Housekeeping goes to the last candidate.
    """
    models = {"strong": model, **(others or {})}
    candidates = {
        name: Candidate(name, m, price=Price(input=1.0, output=2.0), generates=True) for name, m in models.items()
    }
    workload = Workload(
        "default",
        Housekeeping(router or Pinned("strong", "it is the strongest"), list(models)[-1]),
        tuple(models),
        prompt,
        FixedRetriever(passages) if passages is not None else retriever,
    )
    pins: dict[str, tuple[Router, Workload]] = {
        name: (Pinned(name, "the client asked for it by name"), workload) for name in models
    }
    return Engine({"default": workload}, candidates, pins, log or MemoryLog(), searcher=searcher, grounding=grounding)
