"""What a rung takes of examples, grades and documents: what is at hand, what is wanted, and who says so."""

from collections.abc import Mapping

from msgspec import Struct

from rungwise_server.ledger import assumptions as a
from rungwise_server.ledger.evidence import Evidence
from rungwise_server.ledger.facts import Corpus
from rungwise_server.ledger.sheet import Rows
from rungwise_server.records import LogQuery

GOOD = 0.75
"""People's grade from which on an answer is one to learn from."""


class Need(Struct, frozen=True):
    """What a rung takes: so much is at hand, so much is wanted."""

    what: str
    at_hand: float
    wanted: float
    unit: str
    rule: str
    """Who says that so much is wanted."""
    rows: tuple[Rows, ...] = ()

    @property
    def missing(self) -> float:
        """What there is not yet."""
        return max(self.wanted - self.at_hand, 0.0)


def examples_of(evidence: Evidence) -> Need:
    """Answers to train on."""
    said, workload = evidence.said, evidence.workload
    feedback = LogQuery(kind="feedback", workload=workload)
    kinds = (
        f"corrections {len(said.corrected)}, liked {len(said.liked)}, preferred {len(said.preferred)}, "
        f"graded good {len(said.graded_good)}"
    )
    held = f"; {len(said.held)} more are in eval sets, and never trained on" if said.held else ""
    return Need(
        f"examples ({kinds}{held})",
        len(said.examples),
        a.EXAMPLES.range[1],
        "examples",
        f"{a.EXAMPLES.told}; {a.EXAMPLES_TO_TRY_TOLD}",
        (
            Rows(feedback, len(said.corrected), kinds=("correction",)),
            Rows(feedback, len(said.liked), kinds=("rating",), above=0.0),
            Rows(feedback, len(said.preferred), kinds=("preference",)),
            Rows(LogQuery(kind="grade", workload=workload), len(said.graded_good), people=True, above=GOOD - 1e-9),
        ),
    )


def grades_of(evidence: Evidence) -> Need:
    """Answers that people graded, to know how good today's are before anything is held against them."""
    people = sum(bool(one.people) for one in evidence.graded)
    rows = (Rows(LogQuery(kind="grade", workload=evidence.workload), people, people=True),)
    return Need("answers graded by people", people, a.EVALUATION.range[1], "answers", a.EVALUATION.told, rows)


def documents_of(corpora: Mapping[str, Corpus]) -> Need:
    """Something to answer from."""
    documents = sum(corpus.documents for corpus in corpora.values())
    return Need("documents in collections", documents, 1, "documents", "passages are retrieved from what is there")


def tokens_of(corpora: Mapping[str, Corpus], wanted: float, rule: str) -> Need:
    """Text to read in pretraining."""
    passages = sum(corpus.passages for corpus in corpora.values())
    return Need("tokens of your own documents", passages * a.PASSAGE_TOKENS.range[1], wanted, "tokens", rule)
