"""Reports as HTML: what documents, models and people said is text in them."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from rungwise_server.pages import document, heading, paragraphs, table

HOSTILE = st.text() | st.sampled_from(["</title><script>x</script>", "<img src=x onerror=y>", '" onload="', "&lt;b>"])


class Reader(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@given(title=HOSTILE, line=HOSTILE, cell=HOSTILE)
def test_texts_are_texts(title: str, line: str, cell: str) -> None:
    reader = Reader()
    reader.feed(document(title, heading(title) + paragraphs([line]) + table([cell], [[cell, line]]), "p{margin:0}"))
    reader.close()
    assert reader.tags == [
        *("html", "meta", "meta", "title", "style", "h1", "p", "table", "tr", "th", "tr", "td", "td")
    ]  # fmt: skip
    assert "p{margin:0}" in reader.text
