"""Plain text: itself."""

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.writer import Writer
from rungwise_connectors.types import Parsed


def parse_plain(text: str, limits: Limits) -> Parsed:
    """`text` as it is, in one section. Raises ParseError when there is none, or too much."""
    writer = Writer(limits)
    writer.write(text)
    return writer.parsed()
