"""The surfaces that a batch's lines may ask, by URL: those that the server mounts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rungwise_server.api.surface import Surface

if TYPE_CHECKING:
    from rungwise_server.bootstrap import House


def batch_surfaces(house: "House") -> Mapping[str, Surface]:
    """All of them, over the parts of a house."""
    from rungwise_server.api.chat.surface import Chat
    from rungwise_server.api.completions.surface import Completions
    from rungwise_server.api.embeddings.surface import Embeddings
    from rungwise_server.api.responses.surface import Responses
    from rungwise_server.api.vector_stores.shelf import Shelf
    from rungwise_server.bootstrap import embedder_names
    from rungwise_server.files import Files

    collections = {name: chosen.description for name, chosen in house.settings.collections.items()}
    shelf = Shelf(house.kept, house.queue, house.index, Files(house.kept, house.blobs, limit=0), collections)
    return {
        "/v1/chat/completions": Chat(),
        "/v1/completions": Completions(house.engine),
        "/v1/embeddings": Embeddings(house.embedder, embedder_names(house.settings, house.embedder)),
        "/v1/responses": Responses(house.engine, house.kept, shelf, collections),
    }
