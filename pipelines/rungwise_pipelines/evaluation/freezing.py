"""A draft becomes a version: never with a question that somebody was trained on."""

import asyncio
from pathlib import Path

from rungwise_pipelines.evaluation.duplicates import refuse, training_files
from rungwise_server.errors import Conflict
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import EvalSet

_TOLD = 20


async def freeze_untrained(sets: EvalSets, drafted: EvalSet, home: Path) -> EvalSet:
    """Freeze a draft (see `EvalSets.freeze`), held against all training data in `home`.

    Raises:
        Conflict: training data has a question that is nearly the same as one of its examples; the message names them.
        BadRequest: there is no example in it.
        SetupError: training data cannot be read.
    """
    _, refused = await asyncio.to_thread(refuse, await sets.examples(drafted), training_files(home))
    if refused:
        places = [f"{one.example.id} ({one.file}:{one.line})" for one in refused[:_TOLD]]
        more = f", and {len(refused) - _TOLD} more" if len(refused) > _TOLD else ""
        ids = " ".join(one.example.id for one in refused)
        raise Conflict(
            f"{drafted.id} has {len(refused)} that were trained on, so it would flatter whoever was trained: "
            f"{', '.join(places)}{more}. Take them out: `rungwise eval remove {drafted.name} {ids}`."
        )
    return await sets.freeze(drafted)
