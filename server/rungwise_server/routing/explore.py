"""A share of the traffic tries other candidates, so that the log can tell what they would have done."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from rungwise_server.judging.certificates import beta
from rungwise_server.protocols import Router
from rungwise_server.types import Passage, Question, Route

Kind = Literal["epsilon", "thompson"]

DECIDED = frozenset({"pinned", "housekeeping"})
"""Policies whose choice stands: nothing is tried there."""

_GRID = np.linspace(0.0, 1.0, 129)
_STEPS = 100  # to which estimates are rounded; the odds are then exact, since it is them that are drawn from
_LEAST = 0.5  # the prior of Jeffreys: no estimate is so sure that its candidate is always, or never, the best


class Explore:
    """Wraps `router`: with the probability `share`, another one may answer in place of its choice.

    `epsilon` draws from all that can do what is asked, alike. `thompson` draws each with the probability that it is
    the best one, given how many outcomes stand behind its estimate: what is surely worse is hardly tried again. The
    route's propensities are those of the whole: of the router's choice and of the trial.

    Args:
        candidates: each name with what it can do.
        outcomes: how many outcomes stand behind each candidate's estimates, for `thompson`.
        chance: where chance comes from for a question. It must not depend on what is asked.
    """

    def __init__(
        self,
        router: Router,
        candidates: Mapping[str, frozenset[str]],
        share: float,
        kind: Kind = "epsilon",
        *,
        outcomes: Mapping[str, float] = {},
        chance: Callable[[Question], random.Random] | None = None,
    ) -> None:
        own = random.Random()  # noqa: S311 - nobody gains by guessing it
        self._router = router
        self._candidates = candidates
        self._share = share
        self._kind = kind
        self._outcomes = outcomes
        self._chance = chance or (lambda _: own)
        self._distributions: dict[tuple[str, int], NDArray[np.float64]] = {}

    async def route(self, question: Question, passages: Sequence[Passage]) -> Route:
        """See `Router.route`."""
        route = await self._router.route(question, passages)
        if question.housekeeping or route.policy in DECIDED:
            return route
        able = [name for name, can in self._candidates.items() if question.asks <= can]
        if route.candidate not in able or len(able) < 2:
            return route
        trial, how = self._trial(able, route.estimates)
        usual = route.propensities or {route.candidate: 1.0}
        whole = {
            name: (1 - self._share) * usual.get(name, 0.0) + self._share * trial.get(name, 0.0)
            for name in {**usual, **trial}
        }
        chance = self._chance(question)
        if chance.random() >= self._share:
            return replace(route, propensities=whole)
        drawn = chance.choices(list(trial), list(trial.values()))[0]
        if drawn == route.candidate:
            return replace(route, propensities=whole)
        reason = f"explored: {self._share:.3g} of requests try a candidate {how}; else: {route.reason}"
        return replace(route, candidate=drawn, reason=reason, policy="explore", propensities=whole, then=())

    def _trial(self, able: list[str], estimates: Mapping[str, float]) -> tuple[dict[str, float], str]:
        if self._kind == "thompson" and all(name in estimates for name in able):
            return self._best(able, estimates), "by the odds that it is the best one"
        return dict.fromkeys(able, 1 / len(able)), "by chance"

    def _best(self, able: list[str], estimates: Mapping[str, float]) -> dict[str, float]:
        """The probability that each is the best: of its quality on a grid, that all others are below it."""
        below = np.stack([self._below(name, round(estimates[name] * _STEPS)) for name in able])
        there = np.diff(below)
        under = (below[:, 1:] + below[:, :-1]) / 2
        others = (np.prod(np.delete(under, at, axis=0), axis=0) for at in range(len(able)))
        odds = np.maximum(0.0, [np.sum(mine * theirs) for mine, theirs in zip(there, others, strict=True)])
        odds /= np.sum(odds)
        return dict(zip(able, odds.tolist(), strict=True))

    def _below(self, name: str, step: int) -> NDArray[np.float64]:
        """The distribution of a candidate's quality, at an estimate of so many steps. Kept: it takes a while."""
        found = self._distributions.get((name, step))
        if found is None:
            behind, guessed = max(1.0, self._outcomes.get(name, 1.0)), step / _STEPS
            found = beta.cdf(_GRID, _LEAST + behind * guessed, _LEAST + behind * (1 - guessed))
            self._distributions[name, step] = found
        return found
