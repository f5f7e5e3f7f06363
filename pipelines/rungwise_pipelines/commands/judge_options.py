"""What the verbs of `rungwise judge` share."""

from typing import TYPE_CHECKING, Annotated

import typer

from rungwise_pipelines.commands.output import note
from rungwise_server.errors import BadRequest

if TYPE_CHECKING:
    from rungwise_pipelines.judges.answers import Answers
    from rungwise_pipelines.judges.money import Estimate
    from rungwise_server.config.settings import Settings
    from rungwise_server.protocols import InferenceLog, Judge, PairJudge

Name = Annotated[str, typer.Argument(help="The judge, as `rungwise judge list` names it.", metavar="NAME")]
Set = Annotated[
    str, typer.Option("--eval", help="The eval set whose answers are judged.", metavar="SET[@vN]", show_default=False)
]
MaxCost = Annotated[
    float | None, typer.Option(help="Do not begin where the model's calls would cost more than about this.", min=0)
]


def is_of_pairs(settings: "Settings", name: str) -> bool:
    """Whether the judge of that name says which of two answers is better, and grades none by itself."""
    from rungwise_server.bootstrap import judge_settings

    chosen = judge_settings(settings).get(name)
    return chosen is not None and chosen.kind == "pair"


async def affordable(judge: "Judge", answers: "Answers", log: "InferenceLog", most: float | None) -> None:
    """Tell what asking about the answers not judged yet will cost, before it is spent. Raises BadRequest."""
    from rungwise_pipelines.judges.answers import answered_of
    from rungwise_pipelines.judges.ask import known
    from rungwise_pipelines.judges.money import estimate

    grades = await known(judge, answers.things, log)
    left = [thing for thing in answers.things if thing.answers[0].id not in grades]
    within(estimate(judge, [answered_of(thing) for thing in left]), most)


async def affordable_pairs(judge: "PairJudge", answers: "Answers", log: "InferenceLog", most: float | None) -> None:
    """The same of pairs, each of which is asked about twice. Raises BadRequest."""
    from rungwise_pipelines.judges.answers import answered_of
    from rungwise_pipelines.judges.compare import compared
    from rungwise_pipelines.judges.money import estimate_pairs

    said = await compared(judge, answers.things, log)
    left = [(answered_of(thing), answered_of(thing, 1)) for thing in answers.things if thing.id not in said]
    within(estimate_pairs(judge, left), most)


def within(cost: "Estimate", most: float | None) -> None:
    """Tell what it will cost. Raises BadRequest where that is more than `most`, or not known."""
    if cost.calls:
        note(f"To ask: {cost.told}.")
    if most is not None and cost.calls and (cost.cost is None or cost.cost > most):
        why = "its model's price is not known: give the candidate a `price`" if cost.cost is None else "that is more"
        raise BadRequest(f"Not begun: --max-cost is {most:g}, and {why}.", param="max_cost")
