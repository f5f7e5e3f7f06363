"""Settings to a running house: the only room that names concrete classes.

Each `open_*` opens one part; a command that needs one part opens that alone. Vendors are imported as their part is
opened, so that `rungwise keys list` does not load an embedding model.
"""

from rungwise_server.bootstrap.engine import build_engine
from rungwise_server.bootstrap.house import House, open_house
from rungwise_server.bootstrap.judges import Bench, judge_settings, of_pairs, open_judges
from rungwise_server.bootstrap.ledger import ledger_facts, open_ledger
from rungwise_server.bootstrap.models import open_moderations
from rungwise_server.bootstrap.retrieval import (
    check_collections,
    collection_spec,
    embedder_names,
    open_embedder,
    open_index,
    open_reranker,
    open_retriever,
    open_search,
    optimise,
)
from rungwise_server.bootstrap.secrets import secret
from rungwise_server.bootstrap.state import open_blobs, open_house_database, open_kept, open_log, open_queue

__all__ = [
    "Bench",
    "House",
    "build_engine",
    "check_collections",
    "collection_spec",
    "embedder_names",
    "judge_settings",
    "ledger_facts",
    "of_pairs",
    "open_blobs",
    "open_embedder",
    "open_house",
    "open_house_database",
    "open_index",
    "open_judges",
    "open_kept",
    "open_ledger",
    "open_log",
    "open_moderations",
    "open_queue",
    "open_reranker",
    "open_retriever",
    "open_search",
    "optimise",
    "secret",
]
