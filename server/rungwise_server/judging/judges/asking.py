"""Asks a candidate for a verdict, as judges do."""

from msgspec import Raw, Struct

from rungwise_server.engine import Engine
from rungwise_server.errors import NotFound, StreamBroken, UpstreamError, UpstreamRefused
from rungwise_server.evals import Judgement
from rungwise_server.judging.judges.verdicts import asked, read_verdict, response_format
from rungwise_server.prompt import text_message
from rungwise_server.records import GradeScale
from rungwise_server.types import Caller, ChatRequest, Message, Price, new_id

_AGAIN = "That is no verdict."


class JudgingModel(Struct, frozen=True):
    """A candidate as a judge asks it: `identity` says all that its verdicts depend on (model, parameters), `json`
    whether it can be held to a JSON schema.
    """

    candidate: str
    identity: str
    json: bool


class Asking:
    """A judging model and the form of its verdicts.

    Each call goes through `engine`, on the surface `judge`: it is logged and priced like every other. `engine` must
    have the candidate without a prompt of its own, without passages, and without what it falls back to: another
    model's verdict would not be this judge's.
    """

    def __init__(self, model: JudgingModel, engine: Engine, scale: GradeScale) -> None:
        self._model = model
        self._engine = engine
        self._scale = scale
        self._refused: set[str] = set()

    @property
    def price(self) -> Price | None:
        """Of the model; None where that is not known."""
        return self._engine.candidates[self._model.candidate].price

    async def verdict(self, messages: tuple[Message, ...], caller: Caller) -> Judgement:
        """What it says. A reply that is no verdict is answered by asking once more. Raises UpstreamError."""
        reply = await self._ask(messages, caller)
        verdict = read_verdict(reply, self._scale)
        if verdict is None:
            again = text_message("user", f"{_AGAIN} {asked(self._scale)}")
            reply = await self._ask((*messages, text_message("assistant", reply or "(nothing)"), again), caller)
            verdict = read_verdict(reply, self._scale)
        return verdict or Judgement(None, f"The model gave no verdict. It said: {reply[:200]!r}")

    async def _ask(self, messages: tuple[Message, ...], caller: Caller) -> str:
        """The model's words. What it refuses to be told - some take no temperature - is left out from then on."""
        while True:
            params = self._params()
            request = ChatRequest(new_id("chatcmpl"), self._model.candidate, messages, params)
            try:
                return await self._words(request, caller)
            except UpstreamRefused as refused:
                field = (refused.param or "").partition(".")[0]
                if field not in params:
                    raise
                self._refused.add(field)

    def _params(self) -> dict[str, Raw]:
        params = {"temperature": Raw(b"0")}
        if self._model.json:
            params["response_format"] = response_format(self._scale)
        return {name: value for name, value in params.items() if name not in self._refused}

    async def _words(self, request: ChatRequest, caller: Caller) -> str:
        try:
            async with await self._engine.chat(request, caller, surface="judge") as answer:
                async for _ in answer:
                    pass
                return answer.choices[0].text if answer.choices else ""
        except StreamBroken as broken:
            raise UpstreamError(
                f"The judging model {self._model.candidate!r} stopped in mid-answer: {broken}"
            ) from None
        except NotFound as missing:
            raise UpstreamError(missing.message) from None
