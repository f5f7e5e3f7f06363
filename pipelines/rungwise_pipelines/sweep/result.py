"""What a sweep came to: every setting with its quality, its money and its time, and the one to take."""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct

from rungwise_pipelines.evaluation.compare import mean_of
from rungwise_pipelines.sweep.grid import Setting
from rungwise_pipelines.sweep.race import Race
from rungwise_server.judging.certificates.intervals import Interval


class Tried(Struct, frozen=True):
    """A setting, and what was measured on it."""

    name: str
    axes: Mapping[str, str]
    today: bool
    """It is how the workload is configured."""
    quality: Interval | None
    """The mean of the metric, with the interval that `eval run` gives it: of this setting alone, and so flattering for
    whichever came out best. None where nothing could be graded.
    """
    cost_per_1000: float | None
    """Money for a thousand answers; None where a price is not known."""
    p50_ms: float
    p95_ms: float
    """Of the whole answer."""
    rounds: int
    """How many it was in."""
    dropped_for: str = ""
    """The setting that was shown to be better and costs no more."""
    contender: bool = False
    """Not shown to be worse than the best."""
    frontier: bool = False
    """Better, by its mean, than all that cost less."""
    failed: int = 0
    """Questions that it gave no answer to. They are left out of everything."""


class Gain(Struct, frozen=True):
    """What rewriting the prompt brought, in a comparison that differs in nothing else."""

    prompt: str
    """Name and hash of the new one."""
    text: str
    over: str
    """Name and hash of the old one."""
    candidate: str
    """Who answered."""
    proposals: int
    kept: int
    """Of the proposals, those that were better on the examples that they were written from."""
    refused: tuple[str, ...]
    """Why proposals were not even tried."""
    training: float | None
    """The gain on the examples that it was chosen by: what overfitting looks like is a gain here and none there."""
    training_examples: int
    held_out: Interval | None
    """The gain on examples that nobody saw: the only one that counts."""

    @property
    def proven(self) -> bool:
        """Whether the gain is above zero beyond doubt."""
        return self.held_out is not None and self.held_out.low > 0


class Sweep(Struct, frozen=True):
    """The whole of it, as it is kept."""

    id: str
    at: float
    workload: str
    set_id: str
    set_hash: str
    metric: str
    level: float
    seed: int
    settings: tuple[Tried, ...]
    sizes: tuple[int, ...]
    """How many examples each setting had answered after each round."""
    examples: int
    """How many there are to answer."""
    synthetic: int
    """Of them, those that a model wrote."""
    best: str
    cheapest: str
    """Of those not shown to be worse than the best: what the sweep says to take."""
    worse_by: float
    """The mean of `cheapest` is lower than the best one's by this at most."""
    needed: int | None
    """About how many examples would tell the two apart."""
    cost: float
    """Money that this sweep spent, judges included; answers that the log had already cost nothing."""
    answers: int
    """How many it stands on; those that the log had already are among them."""
    full: int
    """Answers that the whole grid would have taken."""
    seconds: float
    stopped: str = ""
    """Why it ended before its last round."""
    trouble: str = ""
    """Why the first of the answers that failed did."""
    caution: str = ""
    """Why the metric itself is to be doubted."""
    gain: Gain | None = None
    change: str = ""
    """What to change in the configuration."""

    def of(self, name: str) -> Tried:
        """The setting of that name."""
        return next(tried for tried in self.settings if tried.name == name)


def as_json(sweep: Sweep) -> dict[str, object]:
    """Plain values, for programs and the store."""
    plain: dict[str, object] = msgspec.to_builtins(sweep)
    return plain


def tried_of(
    race: Race, settings: Sequence[Setting], times: Sequence[Sequence[float]], failed: Sequence[int]
) -> tuple[Tried, ...]:
    """Every setting as it stands. `times` are milliseconds of each one's answers."""
    choice, prices = race.choice(), race.prices
    found = []
    for i, setting in enumerate(settings):
        drop = race.dropped.get(i)
        spent = np.percentile(times[i], [50, 95], method="inverted_cdf") if times[i] else np.zeros(2)
        found.append(
            Tried(
                name=setting.name,
                axes=setting.axes,
                today=i == 0,
                quality=mean_of(race.values[i], race.weight, race.level),
                cost_per_1000=float(prices[i]) * 1000 if np.isfinite(prices[i]) else None,
                p50_ms=float(spent[0]),
                p95_ms=float(spent[1]),
                rounds=drop.round if drop else race.round,
                dropped_for=settings[drop.by].name if drop else "",
                contender=i in choice.contenders,
                frontier=i in choice.frontier,
                failed=failed[i],
            )
        )
    return tuple(found)
