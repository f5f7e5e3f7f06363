"""Which formats there are, and how a document says which one it has. Imports no vendor."""

from pathlib import PurePosixPath
from typing import Literal

from rungwise_connectors.types import Document

Format = Literal["markdown", "text", "html", "csv", "json", "pdf", "docx"]

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

ENDINGS = {
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".txt": "text/plain",
    ".text": "text/plain",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".json": "application/json",
    ".pdf": "application/pdf",
    ".docx": DOCX,
}
"""Media types by a name's ending, in lower case: the files that a folder takes without being told."""

_FORMATS: dict[str, Format] = {
    "text/markdown": "markdown",
    "text/x-markdown": "markdown",
    "text/plain": "text",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "text/csv": "csv",
    "text/tab-separated-values": "csv",
    "application/json": "json",
    "application/pdf": "pdf",
    DOCX: "docx",
}


def ending(name: str) -> str:
    """The ending of a path or name, in lower case with its dot; empty where it has none."""
    return PurePosixPath(name).suffix.lower()


def format_of(document: Document) -> Format:
    """The format by media type, else by the name's ending, else `text`.

    Inline text counts as Markdown or plain text only, unless its media type says otherwise: who hands over text has
    taken it out of its format already.
    """
    given = document.media_type.partition(";")[0].strip().lower()
    if given in _FORMATS:
        return _FORMATS[given]
    format = _FORMATS[ENDINGS.get(ending(document.id), "text/plain")]
    return "text" if document.text is not None and format != "markdown" else format
