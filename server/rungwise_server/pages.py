"""Reports as one HTML file each: they load nothing, run nothing, and whatever is not ours is escaped."""

from collections.abc import Iterable, Sequence
from html import escape

STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;
background:#fff}table{border-collapse:collapse;display:block;overflow-x:auto}td,th{padding:.15rem 1rem .15rem 0;
text-align:left;vertical-align:top;font-variant-numeric:tabular-nums}td:first-child{white-space:nowrap}
svg{max-width:100%;height:auto}pre{background:#f5f5f5;padding:.75rem;overflow-x:auto}"""
"""Of a plain report: text, tables, pictures."""


def document(title: str, body: str, style: str = STYLE) -> str:
    """A whole file. `title` is text; `body` is HTML, and `style` CSS, of ours."""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{style}</style>{body}</html>\n"
    )


def heading(title: str) -> str:
    """The first heading of a page."""
    return f"<h1>{escape(title)}</h1>"


def paragraphs(lines: Iterable[str]) -> str:
    """Each line of text by itself."""
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts."""
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>"
