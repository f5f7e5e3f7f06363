"""What judging will cost, told before it is spent."""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from rungwise_server.evals import Answered
from rungwise_server.judging.judges.preferring import Preferring
from rungwise_server.judging.judges.programs import PassFrom
from rungwise_server.judging.judges.prompted import Prompted
from rungwise_server.protocols import Judge, PairJudge
from rungwise_server.types import Message, Price, Usage

_BYTES = 3.6
"""Bytes of UTF-8 a token, over the languages at hand; a model's own count is in the log afterwards."""
_VERDICT = 80
"""Tokens of a reason of one or two sentences and a grade."""


class Estimate(Struct, frozen=True):
    """About so much. `cost` is None where the model's price is not known."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        """Both together."""
        return Estimate(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if self.cost is None or other.cost is None else self.cost + other.cost,
        )

    @property
    def told(self) -> str:
        """In words."""
        if not self.calls:
            return "no model is asked, so it costs nothing"
        money = "at a price that is not known" if self.cost is None else f"about {self.cost:,.4f}"
        return f"{self.calls:,} calls, about {self.input_tokens + self.output_tokens:,} tokens, {money}"


def model_of(judge: Judge) -> Prompted | None:
    """The model with a rubric that a judge is; None for a program."""
    bare = judge.judge if isinstance(judge, PassFrom) else judge
    return bare if isinstance(bare, Prompted) else None


def estimate(judge: Judge, answers: Iterable[Answered]) -> Estimate:
    """What asking `judge` about each of `answers` will cost. Nothing for programs."""
    model = model_of(judge)
    if model is None:
        return Estimate()
    return _of([model.messages(answered) for answered in answers], model.price)


def estimate_pairs(judge: PairJudge, pairs: Iterable[tuple[Answered, Answered]]) -> Estimate:
    """What asking `judge` about each of `pairs`, in both orders, will cost. Nothing for programs."""
    if not isinstance(judge, Preferring):
        return Estimate()
    asked = [judge.messages(*order) for first, second in pairs for order in ((first, second), (second, first))]
    return _of(asked, judge.price)


def _of(asked: Sequence[Sequence[Message]], price: Price | None) -> Estimate:
    sizes = [sum(len(message.text.encode()) for message in messages) for messages in asked]
    usage = Usage(int(sum(sizes) / _BYTES), _VERDICT * len(sizes))
    return Estimate(len(sizes), usage.input_tokens, usage.output_tokens, price.of(usage) if price else None)
