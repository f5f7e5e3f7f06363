"""What generates, and what it costs; what moderates."""

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from rungwise_server.bootstrap.secrets import secret
from rungwise_server.config.settings import CandidateSettings, Settings
from rungwise_server.http.client import HttpClient
from rungwise_server.models.moderations import Moderations
from rungwise_server.models.prices import Prices
from rungwise_server.protocols import ChatModel, Embedder
from rungwise_server.types import Price


def open_model(
    candidate: CandidateSettings,
    settings: Settings,
    embedder: Embedder,
    client: HttpClient,
    environ: Mapping[str, str],
) -> ChatModel:
    """The model of one candidate, without what it falls back to."""
    match candidate.kind:
        case "openai_compatible":
            from rungwise_server.models.openai_compatible import OpenAICompatible

            return OpenAICompatible(
                url=candidate.url,
                model=candidate.model,
                api_key=secret(candidate, settings, environ),
                headers=candidate.headers,
                params=candidate.params,
                timeout=candidate.timeout,
                connect_timeout=candidate.connect_timeout,
                client=client,
            )
        case "litellm":
            from rungwise_server.models.litellm import LiteLLM

            return LiteLLM(
                model=candidate.model,
                api_key=secret(candidate, settings, environ),
                url=candidate.url,
                params=candidate.params,
                timeout=candidate.timeout,
            )
        case "extractive":
            from rungwise_server.models.extractive import Extractive
            from rungwise_server.retrieval.language import guess

            return Extractive(embedder, guess)


def with_fallback(name: str, settings: Settings, models: Mapping[str, ChatModel]) -> ChatModel:
    """The candidate's model, followed by those it falls back to, and those that these fall back to."""
    chain = [name]
    waiting = list(settings.candidates[name].fallback)
    while waiting:
        following = waiting.pop(0)
        if following not in chain:
            chain.append(following)
            waiting += settings.candidates[following].fallback
    if len(chain) == 1:
        return models[name]
    from rungwise_server.models.fallback import Fallback

    return Fallback([(following, models[following]) for following in chain])


def price_of(candidate: CandidateSettings, prices: Prices) -> Price | None:
    """What a candidate costs: as configured, or as published for its model; None where neither is known."""
    if candidate.price is not None:
        return Price(candidate.price.input, candidate.price.output, candidate.price.cached)
    return Price() if candidate.kind == "extractive" else prices.of(candidate.model)


def open_moderations(
    settings: Settings, client: HttpClient, environ: Mapping[str, str] = os.environ
) -> Moderations | None:
    """The moderations of the candidate that is configured for it, or of the first at OpenAI itself."""
    candidates = settings.candidates
    ours = (n for n, c in candidates.items() if urlsplit(c.url).hostname == "api.openai.com")
    name = settings.moderations or next(ours, "")
    if not name:
        return None
    chosen = candidates[name]
    return Moderations(
        chosen.url,
        api_key=secret(chosen, settings, environ),
        headers=chosen.headers,
        timeout=chosen.timeout,
        connect_timeout=chosen.connect_timeout,
        client=client,
    )
