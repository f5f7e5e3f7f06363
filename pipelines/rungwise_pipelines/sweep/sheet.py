"""Settings by examples: every cell an answer that the log has or that is asked for when it is wanted.

The work is that of `evaluation`: ids derived from what is asked, so that settings which lead to the same call share its
answer, a later sweep asks for nothing again, and neither does one that goes on after it was killed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct

from rungwise_pipelines.evaluation.cells import ROUTE, Known, Wanted, identities, known, wanted
from rungwise_pipelines.evaluation.estimate import Estimate, estimate
from rungwise_pipelines.evaluation.noted import Noted
from rungwise_pipelines.evaluation.run import Bounds, End, Evaluation, Failure, Progress
from rungwise_pipelines.judges.money import model_of
from rungwise_pipelines.sweep.engines import engines_of
from rungwise_pipelines.sweep.grid import Setting
from rungwise_pipelines.sweep.seen import Seen
from rungwise_server.config.settings import Settings
from rungwise_server.engine import Engine
from rungwise_server.evals import Cell, Example
from rungwise_server.http.client import HttpClient
from rungwise_server.judging.groundedness import Groundedness
from rungwise_server.protocols import Embedder, Judge, PassageIndex
from rungwise_server.records import Inference
from rungwise_server.types import Price

_ID = len("eval-") + 24
"""Of a cell's id; what follows counts the attempts."""


class Tools(Struct, frozen=True):
    """What a sweep works with. Everything that is asked goes through `log`, judges included."""

    settings: Settings
    index: PassageIndex
    embedder: Embedder
    client: HttpClient
    log: Noted
    seen: Seen
    """What `log` passes on to."""
    judges: tuple[Judge, ...] = ()


class Sheet:
    """The cells of `variants` by `examples`, by their numbers. `open` makes one."""

    def __init__(
        self,
        tools: Tools,
        workload: str,
        variants: Sequence[Setting],
        engines: Sequence[Engine],
        cells: Sequence[Sequence[Wanted]],
        found: Mapping[str, Known],
    ) -> None:
        self._tools, self._workload = tools, workload
        self._variants, self._engines = variants, engines
        self._wanted = cells
        self._known = found
        self._groundedness = Groundedness(tools.embedder)
        self._done: dict[str, Cell] = {}
        self.failures: list[Failure] = []

    @classmethod
    async def open(
        cls, tools: Tools, workload: str, variants: Sequence[Setting], examples: Sequence[Example]
    ) -> "Sheet":
        """All that the cells are, nothing asked yet; passages are retrieved. Raises what the retriever raises."""
        engines = engines_of(
            tools.settings, workload, variants, tools.index, tools.embedder, tools.log, client=tools.client
        )
        cells = []
        for number, (variant, engine) in enumerate(zip(variants, engines, strict=True)):
            route = variant.workload.route
            name = ROUTE if route.rules else variant.workload.candidates[0]
            varied = tools.settings.model_copy(update={"workloads": {str(number): variant.workload}})
            cells.append(await wanted(engine, str(number), examples, identities(varied, str(number), [name])))
        return cls(tools, workload, variants, engines, cells, await known(tools.log, [c for row in cells for c in row]))

    @property
    def hosted(self) -> frozenset[str]:
        """Candidates on hardware of one's own, which cost nothing by the token."""
        candidates = self._tools.settings.candidates
        return frozenset(name for name, candidate in candidates.items() if candidate.hosting is not None)

    @property
    def judges(self) -> Sequence[Judge]:
        """Who grades."""
        return self._tools.judges

    @property
    def calls(self) -> int:
        """How many calls all of it takes, those that the log has left out."""
        return sum(self._known[id].answer is None for id in {cell.id for row in self._wanted for cell in row})

    async def expected(self, at_once: int) -> list[Estimate]:
        """What all of it will take, part by part."""
        parts = []
        for engine, rows in self._by_engine(range(len(self._variants)), None):
            first = next(key for key in engine.workloads)
            serving = Engine(
                {**engine.workloads, self._workload: engine.workloads[first]}, engine.candidates, {}, self._tools.log
            )
            graders = {judge.name: _price(judge) for judge in self._tools.judges}
            prices = {name: self.price(name) for name in engine.candidates}
            parts.append(
                await estimate(serving, self._tools.log, self._workload, rows, self._known, prices, graders, at_once)
            )
        return parts

    async def fill(
        self, settings: Sequence[int], examples: Collection[int], bounds: Bounds, told: Callable[[Progress], None]
    ) -> End:
        """Ask for the cells of `settings` by `examples`, as far as `bounds` let. Says why it ended."""
        end: End = "done"
        for engine, rows in self._by_engine(settings, frozenset(examples)):
            evaluation = Evaluation(
                engine, self._tools.log, self._tools.judges, self._groundedness, self._known, bounds, told
            )
            outcome = await evaluation.run(rows)
            self._done |= {cell.inference_id[:_ID]: cell for cell in outcome.cells}
            self.failures += outcome.failures
            if outcome.end != "done":
                end = outcome.end
                break
        return end

    def missing(self, settings: Sequence[int], examples: Collection[int]) -> int:
        """How many cells `fill` would see to, those in the log among them."""
        return sum(len(rows) for _, rows in self._by_engine(settings, frozenset(examples)))

    def spent_each(self) -> dict[str, float]:
        """What the dearest answer of each candidate has cost."""
        costs: dict[str, float] = {}
        for cell in self._done.values():
            if cell.cost is not None:
                costs[cell.candidate] = max(cell.cost, costs.get(cell.candidate, 0.0))
        return costs

    def price(self, candidate: str) -> Price | None:
        """What a candidate costs by the token; None where that is not known."""
        priced = next((e.candidates[candidate].price for e in self._engines if candidate in e.candidates), None)
        return priced or (Price() if candidate in self.hosted else None)

    def hourly(self, setting: int) -> float | None:
        """What an answer of a setting costs on hardware of one's own, where that answers it alone."""
        workload = self._variants[setting].workload
        hosting = self._tools.settings.candidates[workload.candidates[0]].hosting
        if workload.route.rules or hosting is None or not hosting.requests_per_hour:
            return None
        return hosting.hourly / hosting.requests_per_hour

    def cell(self, setting: int, example: int) -> Cell | None:
        """What was asked; None where nothing was, or nothing came of it."""
        return self._done.get(self._wanted[setting][example].id)

    def answer(self, setting: int, example: int) -> Inference | None:
        """What the cell's model said."""
        cell = self.cell(setting, example)
        if cell is None:
            return None
        return self._tools.seen.answers.get(cell.inference_id) or self._known[self._wanted[setting][example].id].answer

    def _by_engine(self, settings: Sequence[int], examples: frozenset[int] | None) -> list[tuple[Engine, list[Wanted]]]:
        """Cells that are not done yet, each call once."""
        found: dict[int, tuple[Engine, dict[str, Wanted]]] = {}
        taken: set[str] = set()
        for setting in settings:
            engine = self._engines[setting]
            _, rows = found.setdefault(id(engine), (engine, {}))
            for number, cell in enumerate(self._wanted[setting]):
                if (examples is None or number in examples) and cell.id not in self._done and cell.id not in taken:
                    taken.add(cell.id)
                    rows[cell.id] = cell
        return [(engine, list(rows.values())) for engine, rows in found.values() if rows]


def _price(judge: Judge) -> Price | None:
    """Of its model. A program costs nothing."""
    model = model_of(judge)
    return model.price if model else Price()
