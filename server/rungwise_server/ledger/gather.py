"""From log and eval sets to evidence: the only reading that the ledger does."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec.structs import replace

from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import EvalRun, Example
from rungwise_server.ledger.evidence import Entry, Evidence, GradedAnswer, Said
from rungwise_server.ledger.facts import Corpus, Facts
from rungwise_server.ledger.needs import GOOD
from rungwise_server.ledger.sample import asked, sampled
from rungwise_server.ledger.traffic import with_hosting
from rungwise_server.ledger.trusted import Standings
from rungwise_server.protocols import InferenceLog
from rungwise_server.records import Feedback, Grade, Inference, LogQuery

MOST_GRADED = 4000
"""So many graded answers are read at most: all that people graded first."""

Language = Callable[[str], str]
Corpora = Callable[[], Awaitable[Mapping[str, Corpus]]]


class Gatherer:
    """Reads what the ledger reckons from."""

    def __init__(
        self,
        log: InferenceLog,
        sets: EvalSets,
        facts: Facts,
        *,
        language: Language,
        corpora: Corpora,
        standings: Standings,
    ) -> None:
        self._log = log
        self._sets = sets
        self._facts = facts
        self._language = language
        self._corpora = corpora
        self._standings = standings

    async def totals(self, since: float, until: float) -> Mapping[str, tuple[list[Entry], list[Entry], list[Entry]]]:
        """By workload: its traffic, its housekeeping, and what our own programs asked. Raises Unavailable."""
        query = LogQuery(kind="inference", since=since, until=until, housekeeping=True, own=True)
        found: dict[str, tuple[list[Entry], list[Entry], list[Entry]]] = {}
        for entry in with_hosting(await self._log.totals(query), self._facts.candidates, until):
            traffic, chores, own = found.setdefault(entry.total.workload, ([], [], []))
            (own if entry.total.own else chores if entry.total.housekeeping else traffic).append(entry)
        return found

    async def evidence(
        self,
        workload: str,
        since: float,
        until: float,
        sums: tuple[Sequence[Entry], Sequence[Entry], Sequence[Entry]],
    ) -> Evidence:
        """All of one workload. Raises Unavailable."""
        query = LogQuery(kind="inference", workload=workload, since=since, until=until)
        examples, runs = await self._evaluations(workload)
        graded, good, left_out, synthetic = await self._graded(workload, since, until, examples)
        held = frozenset(example.source for example in examples.values() if example.source)
        facts = self._facts.workloads.get(workload)
        corpora = await self._corpora()
        return Evidence(
            workload,
            since,
            until,
            *sums,
            seen=await sampled(self._log, query, self._language) if sums[0] else (),
            graded=graded,
            graded_left_out=left_out,
            synthetic=synthetic,
            judges={
                judge: await self._standings(judge, workload)
                for judge in sorted({judge for one in graded for judge, _ in one.judges})
            },
            said=await self._said(workload, since, until, good, held),
            runs=[_real(run, examples) for run in runs if since <= run.at < until],
            corpora={name: corpora.get(name, Corpus()) for name in (facts.collections if facts else ())}
            or dict(corpora),
        )

    async def _evaluations(self, workload: str) -> tuple[dict[str, Example], list[EvalRun]]:
        """The examples of all versions that anything may be held against, by id, and the runs."""
        examples: dict[str, Example] = {}
        runs: list[EvalRun] = []
        sets = [one for one in await self._sets.list() if one.workload == workload]
        newest = {one.name: one for one in sets}
        frozen = {one.name: one for one in sets if one.frozen_at}
        for one in {
            **{each.id: each for each in frozen.values()},
            **{each.id: each for each in newest.values()},
        }.values():
            examples |= {example.id: example for example in await self._sets.examples(one)}
        for name in sorted(newest):
            runs += await self._sets.runs(name)
        return examples, runs

    async def _graded(
        self, workload: str, since: float, until: float, examples: Mapping[str, Example]
    ) -> tuple[list[GradedAnswer], frozenset[str], int, int]:
        """Answers graded in this time; those that people found good at any; how many were too many to look at, and how
        many answered questions that a model wrote.
        """
        latest: dict[tuple[str, str, str], Grade] = {}
        async for grade in self._log.read(LogQuery(kind="grade", workload=workload)):
            assert isinstance(grade, Grade)
            if not grade.over:
                latest[grade.inference_id, grade.rubric, grade.grader] = grade
        grades: dict[tuple[str, str], list[Grade]] = {}
        for grade in latest.values():
            if grade.value is not None:
                grades.setdefault((grade.inference_id, grade.rubric), []).append(grade)
        good = {id for (id, _), given in grades.items() if (mean := _people_say(given)) is not None and mean >= GOOD}
        now = {key: [one for one in given if since <= one.at < until] for key, given in grades.items()}
        grades = {key: given for key, given in now.items() if given}
        by_people = {id for (id, _), given in grades.items() if _people_say(given) is not None}
        # The end of an id is random, so judges' grades beyond the limit are left out at random.
        ids = sorted({id for id, _ in grades}, key=lambda id: (id not in by_people, id[::-1]))
        kept = frozenset(ids[: max(MOST_GRADED, len(by_people))])
        about: dict[str, Inference] = {}
        if kept:
            async for record in self._log.read(LogQuery(kind="inference", ids=kept, own=True, housekeeping=True)):
                assert isinstance(record, Inference)
                about[record.id] = record
        answers, synthetic = [], 0
        for (id, rubric), given in grades.items():
            if id not in about:
                continue
            people = tuple(grade.value for grade in given if not grade.judge and grade.value is not None)
            judges = tuple((grade.judge, grade.value) for grade in given if grade.judge and grade.value is not None)
            example = examples.get(next((grade.example for grade in given if grade.example), ""))
            if example is not None and example.synthetic:
                synthetic += 1
                continue
            answers.append(
                GradedAnswer(
                    id,
                    about[id].candidate,
                    rubric,
                    people,
                    judges,
                    self._language(asked(about[id])),
                    example.topic if example else "",
                )
            )
        return answers, frozenset(good), len(ids) - len(kept), synthetic

    async def _said(
        self, workload: str, since: float, until: float, good: frozenset[str], held: frozenset[str]
    ) -> Said:
        """What people said of answers at any time; thumbs, which tell of quality, in this time only."""
        corrected, preferred = set(), set()
        ratings: dict[tuple[str, str], Feedback] = {}
        async for record in self._log.read(LogQuery(kind="feedback", workload=workload)):
            assert isinstance(record, Feedback)
            if record.kind == "correction":
                corrected.add(record.inference_id)
            elif record.kind == "preference":
                preferred.add(record.inference_id)
            elif record.kind == "rating":
                ratings[record.inference_id, record.caller.owner] = record
        liked = {id for (id, _), record in ratings.items() if (record.value or 0) > 0}
        thumbs = [record.value or 0.0 for record in ratings.values() if since <= record.at < until and record.value]
        all_held = (corrected | liked | preferred | good) & held
        return Said(
            frozenset(corrected - held),
            frozenset(liked - held),
            frozenset(preferred - held),
            good - held,
            frozenset(all_held),
            sum(value > 0 for value in thumbs),
            len(thumbs),
        )


def _people_say(grades: Sequence[Grade]) -> float | None:
    values = [grade.value for grade in grades if not grade.judge and grade.value is not None]
    return sum(values) / len(values) if values else None


def _real(run: EvalRun, examples: Mapping[str, Example]) -> EvalRun:
    """The run without the questions that a model wrote."""
    made = {id for id, example in examples.items() if example.synthetic}
    return replace(run, cells=tuple(cell for cell in run.cells if cell.example not in made))
