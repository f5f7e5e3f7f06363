"""What a person sees while it runs."""

import io

from rungwise_pipelines.ingest.progress import Lines


def test_lines_tell_how_far_it_is() -> None:
    out = io.StringIO()
    lines = Lines(out, every=0.0)
    lines.begin("wiki", 2000)
    lines.advance(passages=64)
    lines.advance(documents=500)
    lines.advance(documents=2000)
    told = out.getvalue().splitlines()
    assert told[0].startswith("wiki: 0 of 2,000 documents, 64 passages, ")
    assert told[1].startswith("wiki: 500 of 2,000 documents, 64 passages, ")
    assert told[1].endswith(" s left")
    assert told[2].startswith("wiki: 2,500 of 2,000 documents")
    assert "left" not in told[2]


def test_lines_are_rare() -> None:
    out = io.StringIO()
    lines = Lines(out, every=3600.0)
    lines.begin("wiki", None)
    lines.advance(documents=1, passages=1)
    assert out.getvalue() == ""
