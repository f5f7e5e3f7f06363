"""What grades answers: the judges of the configuration, and those that are there by themselves."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec

from rungwise_server.bootstrap.models import open_model, price_of
from rungwise_server.config.settings import CandidateSettings, JudgeSettings, Settings
from rungwise_server.engine import Candidate, Engine, Workload
from rungwise_server.errors import ConfigError
from rungwise_server.http.client import HttpClient
from rungwise_server.models.prices import Prices
from rungwise_server.prompt import load_prompt
from rungwise_server.protocols import Embedder, InferenceLog, Judge
from rungwise_server.records import Inference
from rungwise_server.routing.rules import Pinned

if TYPE_CHECKING:
    from rungwise_server.judging.judges.shown import Shot

RUBRICS = ("correct", "grounded", "complete", "cites", "declines")
"""What the built-in rubrics ask: `prompts/judge-NAME.md`."""

PROGRAMS: Mapping[str, str] = {"exact": "correct", "contains": "correct", "f1": "correct", "groundedness": "grounded"}
"""Programs that need no settings, and the rubric of each."""


def built_in(settings: Settings) -> dict[str, JudgeSettings]:
    """The judges that are there without a word in the file: programs, and the built-in rubrics with the first
    candidate that generates, where there is one.
    """
    found = {name: JudgeSettings.model_validate({"kind": name, "rubric": of}) for name, of in PROGRAMS.items()}
    model = next((name for name, candidate in settings.candidates.items() if candidate.kind != "extractive"), "")
    if model:
        found |= {rubric: JudgeSettings(kind="prompt", rubric=rubric, candidate=model) for rubric in RUBRICS}
    return found


def judge_settings(settings: Settings) -> dict[str, JudgeSettings]:
    """Every judge by name, the file's own first: where it uses the name of a built-in one, its own counts."""
    return {**settings.judges, **{n: j for n, j in built_in(settings).items() if n not in settings.judges}}


def open_judges(
    settings: Settings,
    embedder: Embedder,
    log: InferenceLog,
    *,
    client: HttpClient,
    observe: Callable[[Inference], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
) -> Mapping[str, Judge]:
    """Every judge, by name.

    Raises:
        ConfigError: a prompt, a schema or the examples of one cannot be read.
    """
    bench = Bench(settings, embedder, log, client=client, observe=observe, environ=environ)
    judges = {name: bench.judge(name, chosen) for name, chosen in judge_settings(settings).items()}
    if "declines" not in judges:
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
            ConfigError: a prompt, a schema or the examples cannot be read.
        """
        judge = self._bare(name, chosen, shots)
        if chosen.threshold is None:
            return judge
        from rungwise_server.judging.judges.programs import PassFrom

        return PassFrom(judge, chosen.threshold)

    def _bare(self, name: str, chosen: JudgeSettings, shots: "Sequence[Shot] | None") -> Judge:
        from rungwise_server.judging.judges.programs import compared, json_schema, regex

        match chosen.kind:
            case "prompt":
                return self._prompted(name, chosen, shots)
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
        from rungwise_server.judging.judges.prompted import JudgingModel, Prompted
        from rungwise_server.judging.judges.shown import read_shots

        candidate = self._settings.candidates.get(chosen.candidate)
        if candidate is None or candidate.kind == "extractive":
            raise ConfigError(f"judges.{name}.candidate: {chosen.candidate!r} is no candidate that can write a verdict")
        prompts = self._settings.base / "prompts"
        prompt = load_prompt(chosen.prompt or f"judge-{chosen.rubric}", prompts)
        if shots is None:
            shots = read_shots(prompts / f"{name}.examples.jsonl", chosen.examples) if chosen.examples else ()
        model = JudgingModel(chosen.candidate, _identity(candidate), "json" in candidate.asks)
        return Prompted(name, chosen.rubric, prompt, model, self._engine(name, chosen.candidate), shots)

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
