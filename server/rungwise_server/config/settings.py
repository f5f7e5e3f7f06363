"""One `rungwise.yaml`, as typed settings; with no file at all, the embedded defaults.

The models say what each key means: the reference in `docs/reference/config.md` is generated from them. Reading the
file, with errors that name the line, is `rungwise_server.config.file`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name of ours: letters, digits, dot, underscore and dash."""


class Section(BaseModel):
    """A mapping in the file. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class LimitSettings(Section):
    """What one key holder may ask for by POST; more is refused with 429 and `retry-after`. Each process counts."""

    requests_per_minute: int = Field(0, ge=0, description="Requests in a minute, all at once if need be; 0: no limit.")
    concurrent: int = Field(0, ge=0, description="Requests at the same time; 0: no limit.")


class Server(Section):
    """Where and how the server listens."""

    host: str = Field(
        "127.0.0.1", description="Address to bind. Anything but loopback needs a key (`rungwise keys create`)."
    )
    port: int = Field(8080, ge=0, le=65535, description="TCP port; 0 takes a free one and prints it.")
    max_body_mb: float = Field(32, gt=0, description="Largest request body taken, in megabytes.")
    max_upload_mb: float = Field(512, gt=0, description="Largest file taken by `/v1/files`, in megabytes.")
    public_url: str = Field(
        "", description="The address that clients reach, for links in citations; else the request's own."
    )
    limits: LimitSettings = LimitSettings()
    worker: bool = Field(
        True, description="Start a worker beside the server, which reads files into vector stores and does batches."
    )


class Secret(Section):
    """Where a secret is read from. Secrets never stand in the configuration itself."""

    api_key_env: str = Field("", description="Environment variable that holds the API key.")
    api_key_file: str = Field("", description="File that holds the API key (its surrounding white space is dropped).")


class EmbedderSettings(Secret):
    """What turns text into vectors, for passages and queries alike."""

    kind: Literal["minilm", "onnx", "openai"] = Field(
        "minilm",
        description="`minilm`: the embedded all-MiniLM-L6-v2; `onnx`: a local folder; `openai`: an `/embeddings` URL.",
    )
    path: str = Field(
        "", description="For `onnx`: folder with `model.onnx` (or `onnx/model.onnx`) and `tokenizer.json`."
    )
    url: str = Field("", description="For `openai`: base URL, up to and with `/v1`.")
    model: str = Field("", description="For `openai`: the model's name there.")
    dimensions: int = Field(0, ge=0, description="For `openai`: length of the vectors, if the model lets one choose.")
    pooling: Literal["mean", "cls"] = Field("mean", description="For `onnx`: how token vectors become one.")
    max_tokens: int = Field(256, ge=8, le=32768, description="Longer texts are cut.")
    query_prefix: str = Field("", description="Put before each query (e5 and bge models ask for it).")
    passage_prefix: str = Field("", description="Put before each passage.")
    languages: tuple[str, ...] = Field((), description="Languages it was trained for (ISO 639-1); empty means any.")
    aliases: tuple[str, ...] = Field(
        (), description="Further names that `/v1/embeddings` takes for it, such as `text-embedding-3-small`."
    )


class RerankerSettings(Secret):
    """What orders documents for `/v1/rerank`. Without a `url`: the embedder's cosine and BM25, blended."""

    url: str = Field(
        "", description="Base URL of a server that has `/rerank` (vLLM, Jina, Cohere), up to and with `/v1`."
    )
    model: str = Field("", description="The model's name there.")


class IndexSettings(Secret):
    """Where passages live."""

    kind: Literal["embedded", "qdrant"] = Field(
        "embedded", description="`embedded`: Qdrant Edge on disk; `qdrant`: a server."
    )
    url: str = Field("", description="For `qdrant`: URL of the server.")
    prefix: str = Field("rungwise_", description="For `qdrant`: put before each collection's name there.")
    timeout: float = Field(30, gt=0, description="For `qdrant`: seconds for one request.")


class LogSettings(Section):
    """Where the log, keys and sync state live."""

    url: str = Field("", description="`sqlite:///PATH` or `postgresql://…`; empty means SQLite in RUNGWISE_HOME.")
    url_env: str = Field("", description="Environment variable that holds the URL (it may carry a password).")


class CollectionSettings(Section):
    """A body of passages."""

    description: str = Field("", description="For people.")


class SourceSettings(Section):
    """Where a collection's documents come from."""

    kind: Literal["folder", "records"] = Field("folder", description="`folder`: files; `records`: .jsonl or .jsonl.gz.")
    path: str = Field(description="Folder or file; relative to the configuration file.")
    collection: Name = Field("default", description="The collection it fills.")
    readers: tuple[str, ...] = Field(
        (),
        description="Who may read documents that do not say it themselves: `everyone`, GROUP, `user:NAME`. No default.",
    )
    include: tuple[str, ...] = Field(
        (), description="Glob patterns of files to take; empty means all that can be parsed."
    )
    exclude: tuple[str, ...] = Field((), description="Glob patterns of files to leave.")


class PriceSettings(Section):
    """Money for a million tokens."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)
    cached: float | None = Field(None, ge=0)


class HostingSettings(Section):
    """Hardware of one's own that a candidate runs on, paid by the hour and not by the token."""

    hourly: float = Field(ge=0, description="Price of an hour of all of it.")
    requests_per_hour: float = Field(0, ge=0, description="Most requests it answers in an hour; 0: not known.")


class CandidateSettings(Secret):
    """A model with a prompt that may serve a workload."""

    kind: Literal["openai_compatible", "litellm", "extractive"] = Field(
        description="`openai_compatible`: vLLM, OpenAI, Ollama or any such URL; `litellm`: every other provider; "
        "`extractive`: the embedded model that answers in the documents' own sentences."
    )
    url: str = Field("", description="Base URL, up to and with `/v1`.")
    model: str = Field("", description="The model's name at the provider (for litellm with its prefix: `anthropic/…`).")
    prompt: str = Field("", description="Prompt that replaces the workload's, by name.")
    price: PriceSettings | None = Field(None, description="Money for a million tokens; else litellm's table is asked.")
    hosting: HostingSettings | None = Field(None, description="Where it runs on hardware of one's own.")
    parameters: float = Field(0, ge=0, description="Size of the model in billions of parameters, where it is known.")
    trained: Literal["", "finetuned", "continued", "scratch"] = Field(
        "",
        description="How far it was trained on your own data, for the ledger: `finetuned` (adapters too), `continued` "
        "pretraining, from `scratch`; empty: not at all.",
    )
    fallback: tuple[Name, ...] = Field(
        (), description="Candidates to try, in order, when this one fails before its first byte."
    )
    headers: Mapping[str, str] = Field({}, description="Further HTTP headers. Not for secrets.")
    timeout: float = Field(120, gt=0, description="Seconds until the first byte, and between two.")
    connect_timeout: float = Field(5, gt=0, description="Seconds for a connection to be made.")
    params: Mapping[str, str | int | float | bool] = Field(
        {}, description="Request fields set where the client left them open, such as `temperature`."
    )
    asks: tuple[Literal["tools", "json", "logprobs", "images"], ...] = Field(
        ("tools", "json", "logprobs", "images"),
        description="What it can do; requests that need more are never routed to it.",
    )


class Condition(Section):
    """All that is given must hold."""

    groups: tuple[str, ...] = Field((), description="The caller is in one of these groups.")
    users: tuple[str, ...] = Field((), description="The caller is one of these users.")
    min_chars: int = Field(0, ge=0, description="The conversation has at least so many characters.")
    max_chars: int = Field(0, ge=0, description="… at most so many (0: no limit).")
    evidence: Literal["", "none", "some"] = Field(
        "", description="`none`: no passage was found; `some`: at least one was."
    )
    asks: tuple[Literal["tools", "json", "logprobs", "images"], ...] = Field(
        (), description="The request asks for one of these."
    )

    @model_validator(mode="after")
    def _reachable(self) -> "Condition":
        if self.max_chars and self.min_chars > self.max_chars:
            raise ValueError(f"can never hold: min_chars {self.min_chars} is above max_chars {self.max_chars}")
        return self


class Rule(Section):
    """The first rule whose condition holds decides."""

    when: Condition = Field(Condition(), description="Empty: always.")
    use: Name = Field(description="The candidate that answers then.")


class CascadeSettings(Section):
    """Who drafts before the first candidate answers, and what a draft must stand."""

    drafting: tuple[Name, ...] = Field(
        (), description="Candidates that draft, cheapest first. Where no draft holds, the workload's first answers."
    )
    verify: Literal["groundedness", "judge", "logprobs", "consistency"] = Field(
        "groundedness",
        description="`groundedness`: each sentence against the passages; `judge`: a judge with a certificate; "
        "`logprobs`: how likely its tokens were; `consistency`: asked anew, its model says the same.",
    )
    judge: str = Field("", description="For `judge`: which one.")
    threshold: float | None = Field(
        None, ge=0, le=1, description="What a draft must reach. Unset: .45 for groundedness, .5, .8, .6 for the others."
    )
    samples: int = Field(2, ge=1, le=8, description="For `consistency`: how often the model is asked anew.")


class CanarySettings(Section):
    """A candidate on trial, for some of the traffic."""

    candidate: Name = Field(description="One of the workload's candidates.")
    share: float = Field(0.05, gt=0, le=1, description="How much it gets, from 0 to 1; always of the same ones.")
    by: Literal["caller", "conversation"] = Field("caller", description="What is split.")


class ShadowSettings(Section):
    """A candidate that answers too, in silence: its answers are only logged."""

    candidate: Name = Field(description="One of the workload's candidates.")
    daily: float = Field(gt=0, description="Money a day (UTC) that it may cost; then it is silent until the next.")
    share: float = Field(1.0, gt=0, le=1, description="Of the answers, how many it shadows.")
    concurrent: int = Field(4, ge=1, le=1000, description="Answers at the same time; what comes beyond is left out.")


class StickySettings(Section):
    """A conversation stays with the model that began it."""

    gain: float = Field(
        0.1, gt=0, le=1, description="It leaves for one whose estimate is higher by so much, and for nothing less."
    )
    minutes: float = Field(60, gt=0, description="After its last turn, for which it is remembered.")
    conversations: int = Field(10_000, ge=1, description="How many are remembered by each process.")


class ExploreSettings(Section):
    """A share of requests tries other candidates, so that the log can tell what they would have done."""

    share: float = Field(0.05, gt=0, le=1, description="Of the requests, from 0 to 1.")
    kind: Literal["epsilon", "thompson"] = Field(
        "epsilon", description="`epsilon`: all alike; `thompson`: by the odds that each is the best, where known."
    )


class RouteSettings(Section):
    """How a workload's candidates are chosen from."""

    policy: Literal["rules", "pinned", "cascade"] = Field(
        "rules",
        description="`rules`: the first rule that holds; `pinned`: the first candidate; `cascade`: cheaper ones draft, "
        "and the first answers where no draft holds up.",
    )
    rules: tuple[Rule, ...] = Field((), description="Tried in order; where none holds, the first candidate answers.")
    cascade: CascadeSettings | None = Field(None, description="For `cascade`.")
    canary: CanarySettings | None = Field(None, description="A candidate on trial. Unset: none.")
    shadow: ShadowSettings | None = Field(None, description="A candidate that answers in silence. Unset: none.")
    sticky: StickySettings | None = Field(None, description="Conversations stay with their model. Unset: they may not.")
    explore: ExploreSettings | None = Field(None, description="Try other candidates. Unset: never.")


class WorkloadSettings(Section):
    """A use case with a name, which clients ask for as the OpenAI `model`."""

    description: str = Field("", description="For people.")
    collections: tuple[Name, ...] = Field((), description="Where passages are retrieved from; empty: no retrieval.")
    candidates: tuple[Name, ...] = Field(min_length=1, description="Who may answer; the first is the default.")
    prompt: str = Field(
        "",
        description="A file `prompts/NAME.md` beside the configuration, or a built-in one. Empty: `grounded` "
        "where there are collections, else none.",
    )
    passages: int = Field(6, ge=1, le=50, description="How many passages go to the model.")
    route: RouteSettings = RouteSettings()
    graders: tuple[str, ...] = Field(
        (), description="Who may grade its answers beside admins: GROUP, `user:NAME` or `everyone`."
    )


class JudgeSettings(Section):
    """What grades answers: a program, or a candidate with a prompt."""

    kind: Literal["prompt", "pair", "groundedness", "exact", "contains", "f1", "regex", "json_schema"] = Field(
        description="`prompt`: a model grades by a rubric; `pair`: a model says which of two answers is better, "
        "asked in both orders; the others are programs: sentences against the passages; "
        "the reference word for word, within the answer, by shared words; a pattern; a schema."
    )
    rubric: Name = Field("correct", description="What is graded. Judges of one rubric can be held against each other.")
    candidate: str = Field("", description="For `prompt` and `pair`: the candidate that grades.")
    prompt: str = Field(
        "",
        description="For `prompt` and `pair`: a file `prompts/NAME.md` with the rubric, or a built-in one. Empty: "
        "`judge-RUBRIC`, for `pair` `judge-prefer`.",
    )
    examples: int = Field(
        0,
        ge=0,
        le=20,
        description="For `prompt`: show the model so many graded examples, of `prompts/JUDGE.examples.jsonl`.",
    )
    pattern: str = Field("", description="For `regex`: must be found in the answer.")
    schema_file: str = Field("", description="For `json_schema`: a JSON Schema that the answer must hold to.")
    threshold: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Grades from here on become a pass, others a fail. Unset: grades stay as they are. Not for `pair`.",
    )

    @property
    def prompt_name(self) -> str:
        """The prompt of a judge that has one."""
        return self.prompt or ("judge-prefer" if self.kind == "pair" else f"judge-{self.rubric}")


class LedgerSettings(Section):
    """What the ledger reckons with."""

    currency: str = Field("USD", description="The currency of all prices in this file.")
    gpu_hour: float = Field(2.5, ge=0, description="Price of an hour of one GPU, rented for training or serving.")
    person_hour: float = Field(60, ge=0, description="Price of an hour of somebody who grades or corrects.")
    grades_per_hour: float = Field(60, gt=0, description="How many answers a person grades in an hour.")
    target: float = Field(0.9, ge=0, le=1, description="The quality that is good enough, as a share of good answers.")
    latency_ms: float = Field(0, ge=0, description="The time to the first byte that is quick enough; 0: any.")


class BatchSettings(Section):
    """What `/v1/batches` takes, and how a worker does it."""

    max_requests: int = Field(50_000, ge=0, description="Most requests of one batch; 0: no limit.")
    concurrency: int = Field(
        256, ge=1, le=4096, description="Requests of a batch at the same time, at most; how many is found by trying."
    )
    timeout: float = Field(600, gt=0, description="Seconds for one attempt at a request.")


class Settings(Section):
    """The whole file."""

    server: Server = Server()
    embedder: EmbedderSettings = EmbedderSettings()
    reranker: RerankerSettings = RerankerSettings()
    index: IndexSettings = IndexSettings()
    log: LogSettings = LogSettings()
    batches: BatchSettings = BatchSettings()
    collections: Mapping[Name, CollectionSettings] = Field({}, description="Bodies of passages, by name.")
    sources: Mapping[Name, SourceSettings] = Field({}, description="Where documents come from, by name.")
    candidates: Mapping[Name, CandidateSettings] = Field({}, description="Models that may answer, by name.")
    workloads: Mapping[Name, WorkloadSettings] = Field({}, description="Use cases, by name; the first is listed first.")
    judges: Mapping[Name, JudgeSettings] = Field({}, description="What grades answers, by name.")
    ledger: LedgerSettings = LedgerSettings()

    moderations: str = Field(
        "",
        description="Candidate of kind `openai_compatible` that `/v1/moderations` is passed on to; empty: the first "
        "whose URL is OpenAI's own.",
    )

    home: Path = Field(
        Path(".rungwise"), exclude=True, description="Not in the file: RUNGWISE_HOME, where state lives."
    )
    base: Path = Field(Path(), exclude=True, description="Not in the file: the folder that relative paths start from.")
