"""What is configured, as the ledger reads it: no settings and no vendors, so that the API may import the ledger."""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from rungwise_server.types import Price

Rung = Literal["prompting", "rag", "finetuned", "continued", "scratch"]
RUNGS: tuple[Rung, ...] = ("prompting", "rag", "finetuned", "continued", "scratch")
"""The ladder, from the bottom."""

NAMES: Mapping[Rung, str] = {
    "prompting": "Prompting",
    "rag": "RAG",
    "finetuned": "Finetuned",
    "continued": "Continued pretraining",
    "scratch": "From scratch",
}


def named(rung: Rung) -> str:
    """The rung's name within a sentence."""
    return NAMES[rung] if NAMES[rung].isupper() else NAMES[rung].lower()


Trained = Literal["", "finetuned", "continued", "scratch"]
"""How far a model was trained on an organisation's own data; empty: not at all."""


class CandidateFacts(Struct, frozen=True):
    """A candidate. `hourly` and `requests_per_hour` are of hardware of one's own, None and 0 where there is none."""

    name: str
    generates: bool = True
    price: Price | None = None
    price_from: str = ""
    """The key of the configuration, or the table, that the price is from."""
    hourly: float | None = None
    requests_per_hour: float = 0.0
    billions: float = 0.0
    """Its size in billions of parameters; 0 where nobody said."""
    trained: Trained = ""


class WorkloadFacts(Struct, frozen=True):
    """A workload. `configured` is False for one that only the log knows."""

    name: str
    description: str = ""
    collections: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()
    passages: int = 6
    configured: bool = True


class Terms(Struct, frozen=True):
    """The section `ledger` of the configuration."""

    currency: str = "USD"
    gpu_hour: float = 2.5
    person_hour: float = 60.0
    grades_per_hour: float = 60.0
    target: float = 0.9
    latency_ms: float = 0.0


class Facts(Struct, frozen=True):
    """All that is configured, by name."""

    workloads: Mapping[str, WorkloadFacts] = {}
    candidates: Mapping[str, CandidateFacts] = {}
    terms: Terms = Terms()


class Corpus(Struct, frozen=True):
    """What a collection holds."""

    documents: int = 0
    passages: int = 0
