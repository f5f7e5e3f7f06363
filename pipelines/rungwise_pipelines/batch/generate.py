"""`rungwise batch --ray --ray-vllm`: a candidate's words from a processor of Ray Data, vLLM on the cluster's GPUs.

The workers of `spread` make orders of the lines that the router gives to that candidate. From the process that holds
the files they go on into a second pipeline: an actor that fetches blocks of them, the processor, and actors that have
the house open and answer. Lines keep their order, so that vLLM's prefix cache finds their common beginnings.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from rungwise_pipelines.batch.ask import Asker
from rungwise_pipelines.batch.local import sources_url
from rungwise_pipelines.batch.orders import (
    Noting,
    Order,
    Reader,
    Refusing,
    Sieve,
    Turns,
    Words,
    answering,
    with_model,
)
from rungwise_pipelines.batch.spread import BLOCK, Collected, Told
from rungwise_pipelines.batch.surfaces import batch_surfaces
from rungwise_server.errors import SetupError
from rungwise_server.types import Caller

if TYPE_CHECKING:
    from rungwise_server.bootstrap import House
    from rungwise_server.config.settings import Settings

ORDER = "order"
"""The one column of a row that goes to a processor: an Order in MessagePack."""

TEXT, READ, WRITTEN, ERROR = "generated_text", "num_input_tokens", "num_generated_tokens", "__inference_error__"
"""Columns that a row has beside it when it comes from there: those of Ray's vLLM processor."""

_NONE = {"seed": -1, "max_tokens": 2**31 - 1}
"""What means None to vLLM, or comes to the same: an answer ends where the model's context does."""


class Processing(Protocol):
    """Has orders generated on a cluster. It is pickled: it holds nothing open."""

    model: str
    """As answers name it where the candidate has no model's name."""

    def reader(self) -> Reader:
        """In a worker, once: makes prompts of conversations. Raises SetupError."""

    def build(self) -> Callable[[Any], Any]:
        """Where the batch was started, connected to Ray: from a dataset to one that is generated. Raises SetupError."""


class Generation:
    """The words of one candidate come from `processing`, and not from the URL that it is configured with."""

    ahead = 4096
    """Lines that may wait for their words beside those that workers hold: enough to fill several engines."""

    def __init__(self, candidate: str, processing: Processing) -> None:
        self.candidate = candidate
        self._processing = processing

    def asker(self, house: "House", caller: Caller) -> Asker:
        """What workers ask: raises Ordered for a line that is the candidate's."""
        from rungwise_server.bootstrap import build_engine

        settings, log = house.settings, Sieve(house.log)
        noting = Noting(self._processing.reader(), settings.candidates[self.candidate].params, log)
        engine, inner = (
            with_model(
                build_engine(settings, house.index, house.embedder, log, client=house.client), self.candidate, model
            )
            for model in (noting, Refusing())
        )
        surfaces = batch_surfaces(dataclasses.replace(house, engine=inner))
        return Asker(engine, surfaces, caller, sources_url(settings), house.log.flush)

    def pipeline(self, ray: Any, settings: "Settings", caller: Caller, feed: Any, blocks: int, workers: int) -> Any:
        """The dataset of results of the orders that `feed` has. Raises SetupError."""
        if self.candidate not in settings.candidates:
            known = ", ".join(settings.candidates)
            raise SetupError(f"There is no candidate {self.candidate!r} to generate for. There are: {known}")
        data = ray.data
        processor = self._processing.build()
        orders = data.range(blocks, override_num_blocks=blocks).map_batches(
            _Orders, fn_constructor_args=(feed,), batch_size=1, compute=data.ActorPoolStrategy(size=1)
        )
        generated = processor(orders).select_columns([ORDER, TEXT, READ, WRITTEN, ERROR])
        return generated.map_batches(
            _Answerer,
            fn_constructor_args=(settings, caller, settings.candidates[self.candidate].model or self._processing.model),
            batch_size=BLOCK,
            compute=data.ActorPoolStrategy(size=workers),
        )


class VLLM:
    """The vLLM processor of Ray Data.

    Args:
        source: a model at Hugging Face, or a folder that all machines have.
        config: more fields of Ray's `vLLMEngineProcessorConfig`, as a JSON object.
    """

    def __init__(self, source: str, config: str = "") -> None:
        self.model = source
        self._config = config

    def reader(self) -> Reader:
        """The model's chat template and tokenizer, as vLLM's own server uses them."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(self.model)

        def read(turns: Turns) -> list[int]:
            try:
                text = tokenizer.apply_chat_template(list(turns), tokenize=False, add_generation_prompt=True)
                # The template has written what stands at a prompt's beginning already.
                tokens: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
            except Exception as error:  # whatever a template raises
                raise ValueError(str(error)) from error
            return tokens

        return read

    def build(self) -> Callable[[Any], Any]:
        """See Processing."""
        import ray

        try:
            given = msgspec.json.decode(self._config or b"{}", type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise SetupError(f"--ray-vllm-config is not a JSON object: {error}") from None
        try:
            import transformers  # noqa: F401  (Ray names it only once it is at work)
            from ray.data.llm import build_processor, vLLMEngineProcessorConfig
        except ImportError as error:
            raise SetupError(
                f"Ray's vLLM is not installed on this machine (`pip install 'ray[llm]'`): {error}"
            ) from None
        fixed = {
            "model_source": self.model,
            "should_continue_on_error": True,
            "chat_template_stage": False,
            "tokenize_stage": False,
            "detokenize_stage": False,
        }
        if twice := sorted(fixed.keys() & given.keys()):
            raise SetupError(f"--ray-vllm-config cannot set {', '.join(twice)}.")
        try:
            config = vLLMEngineProcessorConfig(**fixed, **given)
        except ValueError as error:
            raise SetupError(f"--ray-vllm-config: {error}") from None
        if not given.get("placement_group_config") and not ray.cluster_resources().get("GPU"):  # type: ignore[no-untyped-call]
            raise SetupError("The Ray cluster has no GPU for vLLM: give --ray-address one that has.")
        processor: Callable[[Any], Any] = build_processor(config, preprocess=row_of)
        return processor


def row_of(row: dict[str, Any]) -> dict[str, Any]:
    """An order as Ray's vLLM processor takes it. Nothing in it is None: beside a None, Arrow makes of 1 a 1.0, and that
    ends vLLM's engine.
    """
    order = msgspec.msgpack.decode(row[ORDER], type=Order)
    kind = "prompt" if isinstance(order.prompt, str) else "tokenized_prompt"
    sampling = msgspec.structs.asdict(order.sampling)
    for name, none in _NONE.items():
        if sampling[name] is None:
            sampling[name] = none
    return {ORDER: row[ORDER], kind: order.prompt, "sampling_params": sampling}


class _Orders:
    """An actor of the pipeline: the orders of a ticket's block."""

    def __init__(self, feed: Any) -> None:
        self._feed = feed

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, list[bytes]]]:
        block = await self._feed.get.remote(int(batch["id"][0]))
        yield {ORDER: msgspec.msgpack.decode(block, type=list[bytes]) if block else []}


class _Answerer:
    """An actor of the pipeline: lines whose words are there, answered."""

    def __init__(self, settings: "Settings", caller: Caller, model: str) -> None:
        self._settings, self._caller, self._model = settings, caller, model
        self._opening = asyncio.Lock()
        self._house: House | None = None

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, list[bytes]]]:
        from rungwise_server.prompt import load_prompt

        house = await self._opened()
        surfaces = batch_surfaces(house)
        grounding = load_prompt("grounded", self._settings.base / "prompts")
        results: list[Told] = []

        async def answer(packed: bytes, words: Words) -> None:
            order = msgspec.msgpack.decode(packed, type=Order)
            engine = answering(house.engine, order, words, self._model, grounding)
            asker = Asker(engine, surfaces, self._caller, sources_url(self._settings))
            into = Collected(results, asker)
            try:
                into.answered(order.line, await asker(order.line))
            except Exception as error:
                into.failed(order.line, error)

        rows = zip(batch[ORDER], batch[TEXT], batch[READ], batch[WRITTEN], batch[ERROR], strict=True)
        await asyncio.gather(
            *(answer(packed, Words(text, int(read), int(wrote), error)) for packed, text, read, wrote, error in rows)
        )
        # Ray ends a worker without a word once all is done.
        await house.log.flush()
        yield {"results": [msgspec.msgpack.encode(results)]}

    async def _opened(self) -> "House":
        from rungwise_server.bootstrap import open_house

        async with self._opening:
            if self._house is None:
                self._house = await open_house(self._settings, role="rungwise batch --ray")
            return self._house
