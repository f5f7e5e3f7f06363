"""The surfaces that a batch's lines may ask, by URL: the same objects that the server mounts."""

from collections.abc import Mapping

from rungwise_server.api.chat import Chat
from rungwise_server.api.surface import Surface


def batch_surfaces() -> Mapping[str, Surface]:
    """All of them."""
    return {"/v1/chat/completions": Chat()}
