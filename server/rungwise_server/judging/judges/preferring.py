"""A judge of pairs that is a candidate with a rubric."""

from rungwise_server.engine import Engine
from rungwise_server.evals import Answered, Preference
from rungwise_server.judging.judges.asking import Asking, JudgingModel
from rungwise_server.judging.judges.hashing import hash_of
from rungwise_server.judging.judges.shown import shown_pair
from rungwise_server.judging.judges.verdicts import asked
from rungwise_server.prompt import Prompt, text_message
from rungwise_server.types import Caller, Message, Price

_SHAPE = "1"
"""Part of each hash: raise it where what a model is shown, or how its reply is read, changes."""


class Preferring:
    """Asks a model which of two answers is better, once in each order; see `Asking` for `engine`."""

    def __init__(self, name: str, rubric: str, prompt: Prompt, model: JudgingModel, engine: Engine) -> None:
        self._name = name
        self._rubric = rubric
        self.model = model
        self._asking = Asking(model, engine, "pair")
        self._system = text_message("system", f"{prompt.text}\n\n{asked('pair')}")
        self._hash = hash_of("pair", _SHAPE, rubric, prompt.text, model.identity, model.json)

    @property
    def name(self) -> str:
        """See PairJudge."""
        return self._name

    @property
    def rubric(self) -> str:
        """See PairJudge."""
        return self._rubric

    @property
    def hash(self) -> str:
        """See PairJudge."""
        return self._hash

    @property
    def price(self) -> Price | None:
        """Of its model; None where that is not known."""
        return self._asking.price

    def messages(self, first: Answered, second: Answered) -> tuple[Message, ...]:
        """What the model is asked about two answers in this order."""
        return self._system, text_message("user", shown_pair(first, second))

    async def prefer(self, first: Answered, second: Answered, caller: Caller) -> Preference:
        """See PairJudge."""
        one = await self._asking.verdict(self.messages(first, second), caller)
        other = await self._asking.verdict(self.messages(second, first), caller)
        return Preference(one.value, None if other.value is None else 1 - other.value, one.reason, other.reason)
