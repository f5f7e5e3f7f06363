"""Routing by rules that a person wrote, and the pin: by caller, length, evidence and what the request asks for."""

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct

from rungwise_server.types import Passage, Question, Route


class When(Struct, frozen=True):
    """A condition; all that is given must hold. `max_chars` of 0 means no limit."""

    groups: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    min_chars: int = 0
    max_chars: int = 0
    evidence: Literal["", "none", "some"] = ""
    asks: frozenset[str] = frozenset()

    def failing(self, question: Question, passages: Sequence[Passage]) -> bool:
        """Whether some given part does not hold."""
        chars = sum(len(m.text) for m in question.messages)
        return bool(
            (self.groups and not self.groups & question.caller.groups)
            or (self.users and question.caller.user not in self.users)
            or chars < self.min_chars
            or (self.max_chars and chars > self.max_chars)
            or (self.evidence == "none" and passages)
            or (self.evidence == "some" and not passages)
            or (self.asks and not self.asks & question.asks)
        )

    def __str__(self) -> str:
        """The condition in words, for a route's reason."""
        parts = [
            f"the caller is in {' or '.join(sorted(self.groups))}" if self.groups else "",
            f"the caller is {' or '.join(sorted(self.users))}" if self.users else "",
            f"at least {self.min_chars} characters" if self.min_chars else "",
            f"at most {self.max_chars} characters" if self.max_chars else "",
            {"none": "no passage was found", "some": "passages were found"}.get(self.evidence, ""),
            f"the request asks for {' or '.join(sorted(self.asks))}" if self.asks else "",
        ]
        return ", ".join(part for part in parts if part) or "always"


class Rules:
    """The first rule that holds decides; where none does, the first candidate answers.

    `candidates` maps each name to what it can do. A candidate that cannot do what the request asks for is passed over
    while another one can.
    """

    def __init__(self, candidates: Mapping[str, frozenset[str]], rules: Sequence[tuple[When, str]] = ()) -> None:
        self._candidates = candidates
        self._rules = rules

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """See `Router.route`."""
        able = [name for name, can in self._candidates.items() if question.asks <= can] or list(self._candidates)
        for when, use in self._rules:
            if use in able and not when.failing(question, passages):
                return self._chosen(use, f"the rule for {use} holds: {when}", "rules")
        first = next(iter(self._candidates))
        if able[0] != first:
            wanted = ", ".join(sorted(question.asks))
            return self._chosen(able[0], f"the request asks for {wanted}, which {first} cannot do", "rules")
        reason = "no rule holds, and it is the first candidate" if self._rules else "it is the first candidate"
        return self._chosen(first, reason, "rules")

    def _chosen(self, name: str, reason: str, policy: str) -> Route:
        return Route(name, reason, policy, {other: float(other == name) for other in self._candidates})


class Pinned:
    """Always the same candidate: what a client gets that asks for a candidate by its name."""

    def __init__(self, candidate: str, reason: str) -> None:
        self._route = Route(candidate, reason, "pinned", {candidate: 1.0})

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """See `Router.route`."""
        return self._route
