"""`rungwise eval new --from-log`: real questions, proposed from the workload's own log."""

import datetime
from typing import TYPE_CHECKING

from rungwise_pipelines.commands.eval_examples import COLUMNS, newest, next_steps, opened, rows_of, take_in
from rungwise_pipelines.commands.output import emit, say, table
from rungwise_server.errors import Conflict, NotFound

if TYPE_CHECKING:
    from rungwise_pipelines.evaluation.propose import Proposal
    from rungwise_server.config.settings import Settings
    from rungwise_server.evals import EvalSet


async def from_log(
    settings: "Settings",
    workload: str,
    name: str,
    count: int,
    seed: int,
    since: datetime.datetime | None,
    as_json: bool,
) -> None:
    """Propose `count` questions, and add them to the draft."""
    import numpy as np

    from rungwise_pipelines.evaluation.frame import read_frame
    from rungwise_pipelines.evaluation.propose import propose
    from rungwise_pipelines.evaluation.read import as_line
    from rungwise_pipelines.progress import on_stderr
    from rungwise_server import bootstrap

    async with opened(settings) as (sets, database):
        log = bootstrap.open_log(settings, database)
        try:
            frame = await read_frame(
                log,
                workload,
                float(np.random.default_rng(seed).random()),
                since=since.timestamp() if since else 0.0,
                retrieves=bool(settings.workloads[workload].collections),
            )
        finally:
            await log.close()
        if not frame.asked:
            raise NotFound(
                f"There is no question in the log of {workload!r}{' since then' if since else ''}. Ask some (`rungwise "
                f"ask {workload} QUESTION`, or serve it for a while), let a model write some with --from-docs 30, or "
                f"add your own with `rungwise eval add {workload} FILE`."
            )
        current = await newest(sets, name)
        had = await sets.examples(current) if current else ()
        embedder = await bootstrap.open_embedder(settings)
        try:
            with on_stderr() as shown:
                shown.begin("questions", len(frame.asked), label="topics")
                proposal = await propose(frame, count, embedder, had=had, seed=seed, embedded=shown.advance)
                shown.end()
        finally:
            await embedder.close()
        if not proposal.examples:
            raise Conflict(
                f"All {len(frame.asked):,} questions of the log are in the set {name!r} already, or nearly the same as "
                "one that is."
            )
        drafted, added, refused = await take_in(settings, sets, name, workload, proposal.examples)
    if as_json:
        emit(
            {
                "set": drafted.id,
                "logged": proposal.logged,
                "looked_at": proposal.looked_at,
                "near": proposal.near,
                "had": proposal.had,
                "topics": proposal.topics,
                "worth": proposal.worth,
                "refused": [one.example.id for one in refused],
                "examples": [as_line(one) for one in added],
            }
        )
        return
    table(COLUMNS, rows_of(added))
    say()
    for line in _summary(proposal, drafted, len(added), count):
        say(line)
    next_steps(drafted)


def _summary(proposal: "Proposal", drafted: "EvalSet", added: int, count: int) -> list[str]:
    askers = len({one.caller.owner for one in proposal.examples})
    some = f", of which {proposal.looked_at:,} were looked at" if proposal.looked_at < proposal.logged else ""
    said = [
        f"{added} of {proposal.logged:,} logged questions{some}, added to {drafted.id}: {proposal.topics} topics, "
        f"{askers} {'asker' if askers == 1 else 'askers'}."
    ]
    if proposal.near or proposal.had:
        said.append(f"Left out: {proposal.near} nearly the same as another, {proposal.had} as one in the set.")
    if len(proposal.examples) < count:
        said.append(f"These are all there are: {count} were asked for.")
    else:
        said.append(
            f"Weighted means over them stand for the traffic, as well as {proposal.worth:.0f} plainly drawn questions "
            "would: hard ones are here more often than they are asked."
        )
    return said
