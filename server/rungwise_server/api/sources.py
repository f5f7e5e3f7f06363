"""`GET /v1/sources/{passage_id}`: the passage behind a citation, where it stands, and what stands around it.

JSON for programs; a plain page for a person who clicks a citation. Only for a caller who may read it: to all others
it does not exist.
"""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import BaseModel, Field

from rungwise_server.api.caller import CallerOf
from rungwise_server.errors import NotFound
from rungwise_server.protocols import PassageIndex
from rungwise_server.types import Passage

_AROUND = 3  # passages shown before and after


class SourceDocument(BaseModel):
    """The document that a passage is from."""

    id: str
    title: str
    url: str
    collection: str
    source: str


class SourcePlace(BaseModel):
    """Where in the document."""

    headings: list[str]
    page: int | None = Field(description="Counted from 1.")
    start: int = Field(description="First character, in the parsed document's text.")
    end: int = Field(description="One past the last character.")


class Source(BaseModel):
    """A cited passage."""

    id: str
    object: str = "source"
    text: str
    document: SourceDocument
    place: SourcePlace
    before: str = Field(description="The document's text before it, as far as it is shown.")
    after: str


def sources_api(index: PassageIndex) -> APIRouter:
    """The route."""
    router = APIRouter(tags=["sources"])

    @router.get("/v1/sources/{passage_id}", response_model=Source)
    async def get_source(passage_id: str, request: Request, caller: CallerOf) -> Response | Source:
        """Show the passage behind a citation."""
        passage = await index.get(passage_id, caller.principals)
        if passage is None:
            raise NotFound(f"There is no source {passage_id!r}.", param="passage_id", code="source_not_found")
        around = await index.neighbours(passage, caller.principals)
        before = [p for p in around if p.start < passage.start][-_AROUND:]
        after = [p for p in around if p.start > passage.start][:_AROUND]
        if "text/html" in request.headers.get("accept", ""):
            return _page(passage, before, after)
        return Source(
            id=passage.id,
            text=passage.text,
            document=SourceDocument(
                id=passage.document_id,
                title=passage.title,
                url=passage.url,
                collection=passage.collection,
                source=passage.source,
            ),
            place=SourcePlace(
                headings=list(passage.headings), page=passage.page or None, start=passage.start, end=passage.end
            ),
            before="\n\n".join(p.text for p in before),
            after="\n\n".join(p.text for p in after),
        )

    return router


def _page(passage: Passage, before: list[Passage], after: list[Passage]) -> HTMLResponse:
    """Everything here came from a document: all of it is escaped, and the policy lets nothing run."""
    title = escape(passage.title or passage.document_id)
    safe = passage.url.startswith(("https://", "http://"))
    link = f'<a href="{escape(passage.url)}" rel="noreferrer">original</a>' if safe else ""
    context = "".join(f"<p>{escape(p.text)}</p>" for p in before)
    rest = "".join(f"<p>{escape(p.text)}</p>" for p in after)
    return HTMLResponse(
        f'<!doctype html><html lang="{escape(passage.language or "en")}"><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title>'
        f'<link rel="stylesheet" href="/static/page.css"><main class="source"><h1>{title}</h1>'
        f'<p class="place">{escape(passage.place)} · {escape(passage.document_id)} {link}</p>'
        f'{context}<p><mark id="cited">{escape(passage.text)}</mark></p>{rest}</main></html>'
    )
