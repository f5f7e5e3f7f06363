"""The ledger over log, eval sets and what is configured."""

import asyncio
from collections.abc import Mapping

from rungwise_server.bootstrap.models import price_of
from rungwise_server.config.settings import CandidateSettings, Settings
from rungwise_server.database import Database
from rungwise_server.database.corpora import read_corpora
from rungwise_server.eval_sets import EvalSets
from rungwise_server.judging.trust import Trust
from rungwise_server.keeping import KeptStore
from rungwise_server.ledger.facts import CandidateFacts, Corpus, Facts, Terms, Trained, WorkloadFacts
from rungwise_server.ledger.ledger import Ledger
from rungwise_server.ledger.trusted import by_certificates, nobody
from rungwise_server.models.prices import Prices
from rungwise_server.protocols import Embedder, InferenceLog
from rungwise_server.retrieval.language import guess


def open_ledger(
    settings: Settings, database: Database, log: InferenceLog, kept: KeptStore, embedder: Embedder | None
) -> Ledger:
    """The ledger of a house. Without an embedder no certificate is known to hold, and so no judge is leant on."""

    async def corpora() -> Mapping[str, Corpus]:
        found = await asyncio.to_thread(read_corpora, database)
        return {name: Corpus(documents, passages) for name, (documents, passages) in found.items()}

    standings = by_certificates(Trust(kept, log, embedder)) if embedder else nobody
    return Ledger(log, EvalSets(kept), ledger_facts(settings), language=guess, corpora=corpora, standings=standings)


def ledger_facts(settings: Settings) -> Facts:
    """What the ledger reads of the configuration, prices included."""
    prices = Prices()
    chosen = settings.ledger
    return Facts(
        {
            name: WorkloadFacts(name, one.description, tuple(one.collections), tuple(one.candidates), one.passages)
            for name, one in settings.workloads.items()
        },
        {name: _candidate(name, one, prices) for name, one in settings.candidates.items()},
        Terms(
            chosen.currency,
            chosen.gpu_hour,
            chosen.person_hour,
            chosen.grades_per_hour,
            chosen.target,
            chosen.latency_ms,
        ),
    )


def _candidate(name: str, one: CandidateSettings, prices: Prices) -> CandidateFacts:
    hosting = one.hosting
    where = f"candidates.{name}.price" if one.price is not None else "litellm's table of prices"
    return CandidateFacts(
        name,
        one.kind != "extractive",
        price_of(one, prices),
        where,
        hosting.hourly if hosting else None,
        hosting.requests_per_hour if hosting else 0.0,
        one.parameters,
        _trained(one),
    )


def _trained(one: CandidateSettings) -> Trained:
    """As configured. OpenAI's finetuned models say it in their names. (Adapters will say it by themselves.)"""
    return one.trained or ("finetuned" if one.model.startswith("ft:") else "")
