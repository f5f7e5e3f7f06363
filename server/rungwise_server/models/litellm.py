"""Every provider that does not speak OpenAI's wire, through litellm: its only door in the serving layer.

litellm takes seconds to import, so that happens when the first question comes, in a thread. What it would fetch from
the network by itself (its price list, Anthropic's beta headers) it reads from its package instead; it reads no `.env`.
Only fields that are known to be a caller's to set reach it: its keyword arguments include `api_base` and such. Fields
that ask for what a Delta without `wire` cannot carry (logprobs, audio, legacy functions) are refused like unknown ones.
"""

import asyncio
import importlib
import logging
import os
import re
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from rungwise_server.errors import StreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from rungwise_server.http.client import UNREACHABLE
from rungwise_server.models.openai_errors import redact, upstream_error
from rungwise_server.models.openai_wire import Failure, read_failure
from rungwise_server.types import ChatRequest, Delta, ToolCall, Usage

_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
_FIELDS = frozenset(
    {
        *("temperature", "top_p", "top_k", "n", "stop", "seed", "max_tokens", "max_completion_tokens", "user"),
        *("presence_penalty", "frequency_penalty", "logit_bias", "response_format"),
        *("tools", "tool_choice", "parallel_tool_calls", "web_search_options"),
        *("reasoning_effort", "thinking", "verbosity", "prediction", "service_tier", "store"),
        *("prompt_cache_key", "safety_identifier"),
    }
)
_IGNORED = frozenset({"model", "messages", "stream", "stream_options"})
_NO_WISH = (("logprobs", False), ("modalities", ["text"]))
_DRESSING = re.compile(r"^(?:litellm\.)?\w+: (?:(?:litellm\.)?\w+: )*(?:\w+ - )?")
_ADVICE = re.compile(r"\.? Handle with `litellm\.\w+`\.?$")
_NO_CONNECTION = (ConnectionRefusedError, socket.gaierror)
_ABORT_SECONDS = 0.5


class LiteLLM:
    """A model by litellm's name (`anthropic/…`, `gemini/…`, `bedrock/…`). Its Deltas have no `wire`."""

    def __init__(
        self,
        model: str,
        *,
        api_key: str = "",
        url: str = "",
        params: Mapping[str, str | int | float | bool] = {},
        timeout: float = 120.0,
    ) -> None:
        """Without `api_key`, litellm looks into the provider's own environment variables. `url` is another address of
        the provider; `timeout`, in seconds, is for the first byte and between two.
        """
        self._model = model
        self._who = f"the model {model!r}"
        self._params = dict(params)
        self._secrets = [api_key]
        self._litellm: Any = None
        self._fixed: dict[str, object] = {"model": model, "timeout": timeout, "num_retries": 0, "max_retries": 0}
        # Off, for it imports packages that litellm does not require, and calls tool servers that a client may name.
        self._fixed["_skip_mcp_handler"] = True
        if api_key:
            self._fixed["api_key"] = api_key
        if url:
            self._fixed["api_base"] = url

    async def stream(self, request: ChatRequest) -> AsyncIterator[Delta]:
        """One call, through litellm. A field that is not known to be safe is refused by its name."""
        arguments = self._arguments(request)
        if self._litellm is None:
            self._litellm = await asyncio.to_thread(_load)
        litellm = self._litellm
        chunks = None
        begun = ended = False
        try:
            answer = await litellm.acompletion(**arguments)
            if not request.stream:
                for delta in _whole(answer):
                    yield delta
                return
            chunks = answer
            async for chunk in chunks:
                for delta in _piece(chunk, named=begun):
                    begun = True
                    yield delta
            ended = True
            if not begun:
                raise UpstreamError(f"{self._who} sent an empty answer")
        except UpstreamError:
            raise
        except Exception as error:
            ended = True
            mapped = self._error(error, litellm)
            raise (StreamBroken(f"the answer broke off: {mapped.message}") if begun else mapped) from None
        finally:
            if chunks is not None and not ended:
                await _abort(chunks)

    def _arguments(self, request: ChatRequest) -> dict[str, object]:
        given = {name: msgspec.json.decode(value) for name, value in request.params.items() if name not in _IGNORED}
        given = {name: value for name, value in given.items() if value is not None and (name, value) not in _NO_WISH}
        for name in given:
            if name not in _FIELDS:
                raise UpstreamRefused(
                    f"{self._who} is called through litellm, which does not pass on the field {name!r}: leave it out",
                    status=400,
                    param=name,
                    code="unsupported_parameter",
                )
        arguments = {**self._params, **given, **self._fixed}
        arguments["messages"] = [msgspec.json.decode(message.raw) for message in request.messages]
        arguments["stream"] = request.stream
        if request.stream:
            arguments["stream_options"] = {"include_usage": True}
        return arguments

    def _error(self, error: Exception, litellm: Any) -> UpstreamError:
        said = _ADVICE.sub("", _DRESSING.sub("", str(getattr(error, "message", "") or error)))
        body = said.encode().removeprefix(b"b'").removesuffix(b"'")
        failure = read_failure(body)
        if not failure.message:
            failure = Failure(f"{type(error).__name__}: {said}")
        if isinstance(error, litellm.Timeout):
            return UpstreamTimeout(f"{self._who} has not answered for {self._fixed['timeout']} s")
        if _unreachable(error):
            return UpstreamError(
                f"cannot reach {self._who}: {redact(failure.message, self._secrets)}", code=UNREACHABLE
            )
        status = getattr(error, "status_code", None)
        headers = {
            str(name).lower().encode(): str(value).encode()
            for name, value in dict(getattr(error, "litellm_response_headers", None) or {}).items()
        }
        return upstream_error(
            self._who, status if isinstance(status, int) else 500, failure, headers=headers, secrets=self._secrets
        )


def _load() -> Any:
    """litellm, quiet and without a word to the network."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    litellm: Any = importlib.import_module("litellm")
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


async def _abort(chunks: Any) -> None:
    """Close the connection behind a stream. For some providers litellm's `aclose` leaves it open, but a read that is
    cancelled closes it: so read until there is something to wait for, and cancel that.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _ABORT_SECONDS
    while loop.time() < until:
        read = asyncio.ensure_future(chunks.__anext__())
        await asyncio.sleep(0)
        read.cancel()
        await asyncio.wait([read])
        if read.cancelled() or read.exception() is not None:
            break
    await chunks.aclose()


def _whole(answer: Any) -> list[Delta]:
    """A whole answer: a Delta for each choice."""
    return [
        Delta(
            text=choice.message.content or "",
            index=choice.index,
            tool_calls=_calls(choice.message.tool_calls),
            finish_reason=choice.finish_reason or "stop",
            usage=None if place else _usage(getattr(answer, "usage", None)),
            model="" if place else answer.model or "",
        )
        for place, choice in enumerate(answer.choices)
    ]


def _piece(chunk: Any, *, named: bool) -> list[Delta]:
    """A chunk: a Delta for each choice in it that says something. `named`: the model's name has been told."""
    deltas: list[Delta] = []
    usage = _usage(getattr(chunk, "usage", None))
    for choice in chunk.choices:
        said = choice.delta
        text, calls, finish = said.content or "", _calls(said.tool_calls), choice.finish_reason or ""
        if text or calls or finish or usage is not None:
            model = "" if named or deltas else chunk.model or ""
            deltas.append(
                Delta(text=text, index=choice.index, tool_calls=calls, finish_reason=finish, usage=usage, model=model)
            )
            usage = None
    if usage is not None:
        deltas.append(Delta(usage=usage))
    return deltas


def _calls(calls: Any) -> tuple[ToolCall, ...]:
    return tuple(
        ToolCall(
            index=place if getattr(call, "index", None) is None else call.index,
            id=call.id or "",
            name=call.function.name or "",
            arguments=call.function.arguments or "",
        )
        for place, call in enumerate(calls or ())
    )


def _usage(usage: Any) -> Usage | None:
    if usage is None:
        return None
    details = getattr(usage, "prompt_tokens_details", None)
    return Usage(
        input_tokens=usage.prompt_tokens or 0,
        output_tokens=usage.completion_tokens or 0,
        cached_tokens=getattr(details, "cached_tokens", None) or 0,
    )


def _unreachable(error: BaseException | None) -> bool:
    """Whether no connection was made, by what the error was raised from."""
    for _ in range(12):
        if error is None:
            break
        if (
            isinstance(error, ConnectionRefusedError | socket.gaierror)
            or type(error).__name__ == "ClientConnectorError"
        ):
            return True
        error = error.__cause__ or error.__context__
    return False
