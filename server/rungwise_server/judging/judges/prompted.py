"""Judges that are a candidate with a rubric."""

from collections.abc import Sequence

from msgspec import Raw, Struct

from rungwise_server.engine import Engine
from rungwise_server.errors import NotFound, StreamBroken, UpstreamError, UpstreamRefused
from rungwise_server.evals import Answered, Judgement
from rungwise_server.judging.judges.hashing import hash_of
from rungwise_server.judging.judges.shown import Shot, shown
from rungwise_server.judging.judges.verdicts import asked, read_verdict, response_format, scale_of, verdict_text
from rungwise_server.prompt import Prompt, text_message
from rungwise_server.types import Caller, ChatRequest, Message, Price, new_id

_SHAPE = "1"
"""Part of each hash: raise it where what a model is shown, or how its reply is read, changes."""

_AGAIN = "That is no verdict."


class JudgingModel(Struct, frozen=True):
    """A candidate as a judge asks it: `identity` says all that its verdicts depend on (model, parameters), `json`
    whether it can be held to a JSON schema.
    """

    candidate: str
    identity: str
    json: bool


class Prompted:
    """Asks a model to grade by a rubric.

    Each call goes through `engine`, on the surface `judge`: it is logged and priced like every other. `engine` must
    have the candidate without a prompt of its own, without passages, and without what it falls back to: another
    model's verdict would not be this judge's.
    """

    def __init__(
        self, name: str, rubric: str, prompt: Prompt, model: JudgingModel, engine: Engine, shots: Sequence[Shot] = ()
    ) -> None:
        self._name = name
        self._rubric = rubric
        self._engine = engine
        self.prompt = prompt
        self.model = model
        self.shots = tuple(shots)
        self.scale = scale_of(prompt.text)
        self._refused: set[str] = set()
        self._system = text_message("system", f"{prompt.text}\n\n{asked(self.scale)}")
        self._head: tuple[Message, ...] = (self._system, *(turn for shot in shots for turn in self._turns(shot)))
        self._hash = hash_of(
            _SHAPE,
            rubric,
            prompt.text,
            model.identity,
            model.json,
            [(shown(shot.answered), shot.value, shot.reason) for shot in shots],
        )

    @property
    def name(self) -> str:
        """See Judge."""
        return self._name

    @property
    def rubric(self) -> str:
        """See Judge."""
        return self._rubric

    @property
    def hash(self) -> str:
        """See Judge."""
        return self._hash

    @property
    def price(self) -> Price | None:
        """Of its model; None where that is not known."""
        return self._engine.candidates[self.model.candidate].price

    def messages(self, answered: Answered) -> tuple[Message, ...]:
        """What the model is asked about an answer."""
        return (*self._head, text_message("user", shown(answered)))

    async def grade(self, answered: Answered, caller: Caller) -> Judgement:
        """See Judge. A reply that is no verdict is answered by asking once more."""
        messages = self.messages(answered)
        reply = await self._ask(messages, caller)
        verdict = read_verdict(reply, self.scale)
        if verdict is None:
            again = text_message("user", f"{_AGAIN} {asked(self.scale)}")
            reply = await self._ask((*messages, text_message("assistant", reply or "(nothing)"), again), caller)
            verdict = read_verdict(reply, self.scale)
        return verdict or Judgement(None, f"The model gave no verdict. It said: {reply[:200]!r}")

    def _turns(self, shot: Shot) -> tuple[Message, Message]:
        verdict = verdict_text(shot.value, shot.reason or "So graded by a person.", self.scale)
        return text_message("user", shown(shot.answered)), text_message("assistant", verdict)

    async def _ask(self, messages: tuple[Message, ...], caller: Caller) -> str:
        """The model's words. What it refuses to be told - some take no temperature - is left out from then on."""
        while True:
            params = self._params()
            request = ChatRequest(new_id("chatcmpl"), self.model.candidate, messages, params)
            try:
                return await self._words(request, caller)
            except UpstreamRefused as refused:
                field = (refused.param or "").partition(".")[0]
                if field not in params:
                    raise
                self._refused.add(field)

    def _params(self) -> dict[str, Raw]:
        params = {"temperature": Raw(b"0")}
        if self.model.json:
            params["response_format"] = response_format(self.scale)
        return {name: value for name, value in params.items() if name not in self._refused}

    async def _words(self, request: ChatRequest, caller: Caller) -> str:
        try:
            async with await self._engine.chat(request, caller, surface="judge") as answer:
                async for _ in answer:
                    pass
                return answer.choices[0].text if answer.choices else ""
        except StreamBroken as broken:
            raise UpstreamError(f"The judging model {self.model.candidate!r} stopped in mid-answer: {broken}") from None
        except NotFound as missing:
            raise UpstreamError(missing.message) from None
