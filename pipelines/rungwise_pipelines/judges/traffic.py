"""The traffic that a certificate is made on, as `drift` holds later traffic against it."""

import numpy as np

from rungwise_pipelines.evaluation.topics import cluster
from rungwise_server.eval_sets import EvalSets
from rungwise_server.evals import EvalSet
from rungwise_server.judging.drift import ENOUGH, Traffic, centres_of, traffic_of, traffic_of_set
from rungwise_server.judging.trust import Trust
from rungwise_server.protocols import Embedder
from rungwise_server.question import search_query

_TOPICS = 8
_EACH = 5
"""Examples a topic, at the least on the mean."""


async def traffic_now(of: EvalSet, sets: EvalSets, trust: Trust, embedder: Embedder) -> Traffic:
    """The workload's recent questions by the topics of its eval set; of the set itself where there are too few."""
    examples = await sets.examples(of)
    vectors = await embedder.embed([search_query(example.messages) for example in examples], "query")
    topics = max(1, min(_TOPICS, len(examples) // _EACH))
    topic = cluster(vectors, topics, np.random.default_rng(0))
    centres = centres_of(vectors, topic)
    recent = await trust.questions(of.workload)
    if len(recent) >= ENOUGH:
        return traffic_of(embedder.name, centres, recent)
    weight = np.array([example.weight for example in examples], dtype=np.float64)
    return traffic_of_set(embedder.name, centres, vectors, topic, weight)
