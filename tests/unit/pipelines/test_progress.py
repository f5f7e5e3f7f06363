"""What a person sees while something runs."""

import io

import pytest

from rungwise_pipelines.batch.progress import Progress as BatchProgress
from rungwise_pipelines.batch.run import Tally
from rungwise_pipelines.ingest.progress import Progress as IngestProgress
from rungwise_pipelines.progress import Bar, Lines, duration


def test_lines_tell_how_far_an_ingest_run_is() -> None:
    out = io.StringIO()
    progress = IngestProgress(Lines(out, every=0.0))
    progress.begin("wiki", 2000)
    progress.advance(passages=64)
    progress.advance(documents=500)
    progress.advance(documents=2000)
    told = out.getvalue().splitlines()
    assert told[0].startswith("wiki: 0 of 2,000 documents, 64 passages, ")
    assert told[1].startswith("wiki: 500 of 2,000 documents, 64 passages, ")
    assert told[1].endswith(" s left")
    assert told[2].startswith("wiki: 2,500 of 2,000 documents")
    assert "left" not in told[2]


def test_lines_tell_how_far_a_batch_is() -> None:
    out = io.StringIO()
    progress = BatchProgress(Lines(out, every=0.0))
    progress.reading(0)
    progress.reading(20_000)
    earlier = Tally(answered=3, failed=1)
    progress.begin(earlier, 6)
    progress.advance(earlier)
    earlier.answered += 1
    progress.advance(earlier)
    told = out.getvalue().splitlines()
    assert told[1] == "20,000 lines checked"
    assert told[2] == "going on: 4 of 10 lines are done"
    assert told[3] == "4 of 10 lines, 0.0/s, 0 + 0 tokens, 1 failed"
    assert told[4].startswith("5 of 10 lines, ")
    assert told[4].endswith(" 0 s left")


def test_lines_are_rare_and_cannot_steer_a_terminal() -> None:
    out = io.StringIO()
    rare = Lines(out, every=3600.0)
    rare.begin("documents", None, label="wiki")
    rare.advance(1)
    assert out.getvalue() == ""
    every = Lines(out, every=0.0)
    every.begin("documents", None, label="wi\x1bki")
    every.advance(1, "\x07")
    assert out.getvalue() == "wi\ufffdki: 1 documents, \ufffd\n"


def test_a_bar_is_drawn_on_standard_error(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with Bar() as bar:
        bar.begin("documents", 20, label="wiki")
        bar.advance(5, "64 passages")
    drawn = capsys.readouterr()
    assert drawn.out == ""
    assert "wiki" in drawn.err
    assert "5/20" in drawn.err
    assert "documents, 64 passages" in drawn.err


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (61, "1 min 1 s"), (7500, "2 h 5 min")])
def test_a_duration_for_people(seconds: float, said: str) -> None:
    assert duration(seconds) == said
