"""How much one document may cost."""

from msgspec import Struct


class Limits(Struct, frozen=True):
    """Bounds of one document; beyond them it is refused with the reason, never cut.

    `size` bytes of the file, `characters` of its text, `sections` of it, `pages` of a PDF, and what a DOCX may unpack
    to: `unpacked` bytes, `entries` files, `ratio` times its size.
    """

    size: int = 200 * 2**20
    characters: int = 20_000_000
    sections: int = 50_000
    pages: int = 5_000
    unpacked: int = 300 * 2**20
    entries: int = 10_000
    ratio: int = 200
