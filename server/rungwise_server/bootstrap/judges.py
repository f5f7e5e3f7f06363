"""What grades answers: the judges of the configuration, and those that are there by themselves."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from rungwise_server.bootstrap.models import open_model, price_of
from rungwise_server.config.settings import CandidateSettings, JudgeSettings, Settings
from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.errors import BadRequest, ConfigError
from rungwise_server.http.client import HttpClient
from rungwise_server.models.prices import Prices
from rungwise_server.prompt import Prompt, load_prompt
from rungwise_server.protocols import Embedder, InferenceLog, Judge, PairJudge
from rungwise_server.records import Inference
from rungwise_server.routing.rules import Pinned

if TYPE_CHECKING:
    from rungwise_server.judging.judges.asking import JudgingModel
    from rungwise_server.judging.judges.shown import Shot

RUBRICS = ("correct", "grounded", "complete", "cites", "declines")
"""What the built-in rubrics ask: `prompts/judge-NAME.md`."""

PROGRAMS: Mapping[str, str] = {"exact": "correct", "contains": "correct", "f1": "correct", "groundedness": "grounded"}
"""Programs that need no settings, and the rubric of each."""


def built_in(settings: Settings) -> dict[str, JudgeSettings]:
    """The judges that are there without a word in the file: programs; and, with the first candidate that generates,
    where there is one, the built-in rubrics and a judge of pairs.
    """
    found = {name: JudgeSettings.model_validate({"kind": name, "rubric": of}) for name, of in PROGRAMS.items()}
    model = next((name for name, candidate in settings.candidates.items() if candidate.kind != "extractive"), "")
    if model:
        found |= {rubric: JudgeSettings(kind="prompt", rubric=rubric, candidate=model) for rubric in RUBRICS}
        found["prefer"] = JudgeSettings(kind="pair", candidate=model)
    return found


def judge_settings(settings: Settings) -> dict[str, JudgeSettings]:
    """Every judge by name, the file's own first: where it uses the name of a built-in one, its own counts."""
    return {**settings.judges, **{n: j for n, j in built_in(settings).items() if n not in settings.judges}}


def of_pairs(name: str) -> BadRequest:
    """That a judge of pairs is named where answers are graded by themselves."""
    return BadRequest(
        f"The judge {name!r} is of `kind: pair`: it says which of two answers is better, and grades none by itself. "
        f"Name another here; `rungwise judge grade {name} --eval SET` has it compare the newest run's candidates.",
        param="judge",
    )


def open_judges(
    settings: Settings,
    embedder: Embedder,
    log: InferenceLog,
    *,
    client: HttpClient,
    observe: Callable[[Inference], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
) -> Mapping[str, Judge]:
    """Every judge that grades answers by themselves, by name; those of pairs are the bench's.

    Raises:
        ConfigError: a prompt, a schema or the examples of one cannot be read.
    """
    bench = Bench(settings, embedder, log, client=client, observe=observe, environ=environ)
    chosen = judge_settings(settings)
    judges = {name: bench.judge(name, one) for name, one in chosen.items() if one.kind != "pair"}
    if "declines" not in chosen:
        from rungwise_server.judging.judges.grounded import declining

        judges["declines"] = declining("declines", "declines")
    return judges


class Bench:
    """Makes judges of settings. Candidates are asked bare: no prompt of theirs, no passages, and nobody in their place
    when they fail.
    """

    def __init__(
        self,
        settings: Settings,
        embedder: Embedder,
        log: InferenceLog,
        *,
        client: HttpClient,
        observe: Callable[[Inference], None] = lambda _: None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._settings = settings
        self._embedder = embedder
        self._log = log
        self._client = client
        self._observe = observe
        self._environ = environ
        self._prices = Prices()
        self._candidates: dict[str, Candidate] = {}

    def judge(self, name: str, chosen: JudgeSettings, shots: "Sequence[Shot] | None" = None) -> Judge:
        """The judge `name`, as `chosen` says; a model is shown `shots` where they are given, else those of its file.

        Raises:
            BadRequest: it is one of pairs.
            ConfigError: a prompt, a schema or the examples cannot be read.
        """
        judge = self._bare(name, chosen, shots)
        if chosen.threshold is None:
            return judge
        from rungwise_server.judging.judges.programs import PassFrom

        return PassFrom(judge, chosen.threshold)

    def pair_judges(self) -> Mapping[str, PairJudge]:
        """Every judge of pairs, by name. Raises ConfigError where a prompt cannot be read."""
        from rungwise_server.judging.judges.preferring import Preferring

        judges = {}
        for name, chosen in judge_settings(self._settings).items():
            if chosen.kind == "pair":
                prompt, model = self._asked(name, chosen)
                judges[name] = Preferring(name, chosen.rubric, prompt, model, self._engine(name, chosen.candidate))
        return judges

    def _bare(self, name: str, chosen: JudgeSettings, shots: "Sequence[Shot] | None") -> Judge:
        from rungwise_server.judging.judges.programs import compared, json_schema, regex

        match chosen.kind:
            case "prompt":
                return self._prompted(name, chosen, shots)
            case "pair":
                raise of_pairs(name)
            case "groundedness":
                from rungwise_server.judging.judges.grounded import Grounded

                return Grounded(name, chosen.rubric, self._embedder)
            case "regex":
                return _valid(f"judges.{name}.pattern", lambda: regex(name, chosen.rubric, chosen.pattern))
            case "json_schema":
                where = f"judges.{name}.schema_file: {chosen.schema_file}"
                try:
                    text = (self._settings.base / chosen.schema_file).read_text(encoding="utf-8")
                except (OSError, UnicodeDecodeError) as error:
                    raise ConfigError(f"{where} cannot be read: {error}") from None
                return _valid(where, lambda: json_schema(name, chosen.rubric, text))
            case _:
                return compared(chosen.kind, name, chosen.rubric)

    def _prompted(self, name: str, chosen: JudgeSettings, shots: "Sequence[Shot] | None") -> Judge:
        from rungwise_server.judging.judges.prompted import Prompted
        from rungwise_server.judging.judges.shown import read_shots

        prompt, model = self._asked(name, chosen)
        if shots is None:
            path = self._settings.base / "prompts" / f"{name}.examples.jsonl"
            shots = read_shots(path, chosen.examples) if chosen.examples else ()
        return Prompted(name, chosen.rubric, prompt, model, self._engine(name, chosen.candidate), shots)

    def _asked(self, name: str, chosen: JudgeSettings) -> "tuple[Prompt, JudgingModel]":
        """The prompt of a judge, and the model that it is put to."""
        from rungwise_server.judging.judges.asking import JudgingModel

        candidate = self._settings.candidates.get(chosen.candidate)
        if candidate is None or candidate.kind == "extractive":
            raise ConfigError(f"judges.{name}.candidate: {chosen.candidate!r} is no candidate that can write a verdict")
        prompt = load_prompt(chosen.prompt_name, self._settings.base / "prompts")
        return prompt, JudgingModel(chosen.candidate, _identity(candidate), "json" in candidate.asks)

    def _engine(self, judge: str, name: str) -> Engine:
        """An engine with one candidate, whose answers stand in the log under `judge:NAME`."""
        chosen = self._settings.candidates[name]
        if name not in self._candidates:
            model = open_model(chosen, self._settings, self._embedder, self._client, self._environ)
            self._candidates[name] = Candidate(name, model, price=price_of(chosen, self._prices))
        router = Pinned(name, "the judge's model")
        # A workload's name of the file has no colon: none is mixed up with this one.
        pin = (router, Workload(f"judge:{judge}", router, (name,)))
        return Engine({}, {name: self._candidates[name]}, {name: pin}, self._log, self._observe)


def _identity(candidate: CandidateSettings) -> str:
    """All of a candidate that its verdicts depend on; not where it runs."""
    made_of = (candidate.kind, candidate.model, dict(candidate.params))
    return msgspec.json.encode(made_of, order="sorted").decode()


def _valid(where: str, make: Callable[[], Judge]) -> Judge:
    try:
        return make()
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None
