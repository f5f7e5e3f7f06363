"""Examples as people hand them in: faults by their line, contaminated lines left out and counted."""

import contextlib
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rungwise_pipelines.cli import app
from rungwise_pipelines.progress import Silent
from rungwise_pipelines.routing.examples import parse_examples, read_examples
from rungwise_pipelines.routing.outcomes import outcomes_of
from rungwise_server.errors import BadRequest, NotFound
from rungwise_server.testing.retrieval_embedder import HashEmbedder

GOOD = '{"id": 1, "prompt": "Why?", "models": {"a": {"score": 1}, "b": {"score": 0.5, "cost": 0.1}}}'


def lines(*texts: str) -> bytes:
    """A file of them."""
    return "\n".join(texts).encode()


def test_what_is_read(tmp_path: Path) -> None:
    """Unpacked where it is packed; other fields are left alone."""
    path = tmp_path / "examples.jsonl.gz"
    other = json.dumps({"id": "x", "prompt": "How?", "models": {"a": {"score": True}}, "split": "train"})
    spoilt = json.dumps({"id": "y", "prompt": "What?", "models": {"c": {"score": 1}}, "contaminated": True})
    path.write_bytes(gzip.compress(lines(GOOD, "", other, spoilt)))
    found = read_examples(path)
    assert [item.id for item in found.items] == [1, "x"]
    assert found.candidates == ("a", "b")
    assert found.notes == ("Lines left out as contaminated: 1.",)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: this is not JSON"),
        ('{"id": 2, "prompt": "Why?"}', "line 2: .*models"),
        (GOOD, "line 2: the id 1 is on line 1 too"),
        (GOOD.replace("1,", "2,").replace("Why?", "  "), "line 2: the prompt is empty"),
        ('{"id": 2, "prompt": "Why?", "models": {}}', "at least one"),
        ('{"id": 2, "prompt": "Why?", "models": {"a": {"score": 7}}}', "the score of a is 7: scores go from 0 to 1"),
        ('{"id": 2, "prompt": "Why?", "models": {"a": {"score": 1, "cost": -1}}}', "the cost of a is -1"),
    ],
)
def test_faults_are_told_by_their_line(line: str, said: str) -> None:
    """And nothing is read past them silently."""
    with pytest.raises(BadRequest, match=said):
        parse_examples(lines(GOOD, line))


def test_no_examples(tmp_path: Path) -> None:
    """An empty file, a missing one, one that is cut off."""
    with pytest.raises(BadRequest, match="has no examples"):
        parse_examples(b"\n")
    with pytest.raises(BadRequest, match="cannot be read"):
        read_examples(tmp_path / "none")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(GOOD.encode())[:-9])
    with pytest.raises(BadRequest, match="cannot be unpacked"):
        read_examples(tmp_path / "cut.gz")


@given(st.binary(max_size=80))
def test_whatever_comes(data: bytes) -> None:
    """Examples, or BadRequest."""
    with contextlib.suppress(BadRequest):
        assert parse_examples(data).items


async def test_examples_in_numbers() -> None:
    """A candidate that was not tried is NaN; context becomes evidence; who is asked for is what comes."""
    context = '{"id": 2, "prompt": "Why is it blue?", "context": ["It is blue.", "No."], "models": {"a": {"score": 0}}}'
    examples = parse_examples(lines(GOOD, context))
    found = await outcomes_of(examples, HashEmbedder(), Silent())
    assert found.scores.tolist()[0] == [1.0, 0.5]
    assert found.scores[1, 0] == 0.0
    assert str(found.scores[1, 1]) == str(found.costs[0, 0]) == "nan"
    assert not found.features[0].evidence.any()
    assert found.features[1].evidence[0] == 1.0
    assert (await outcomes_of(examples, HashEmbedder(), Silent(), ("b", "a"))).candidates == ("b", "a")
    with pytest.raises(NotFound, match="No example has 'z'"):
        await outcomes_of(examples, HashEmbedder(), Silent(), ("z",))


def test_the_commands(tmp_path: Path) -> None:
    """Fit writes a file that report takes; what is wrong is told without a traceback."""
    runner = CliRunner()
    path = tmp_path / "examples.jsonl"
    path.write_bytes(
        lines(
            *(
                json.dumps(
                    {"id": i, "prompt": f"What is {i} times {i}?", "models": {"a": {"score": 1}, "b": {"score": i % 2}}}
                )
                for i in range(40)
            )
        )
    )
    done = runner.invoke(app, ["router", "fit", "--examples", str(path), "-o", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["candidates"] == ["a", "b"]
    assert Path(told["file"]).stat().st_size == told["bytes"]
    done = runner.invoke(
        app, ["router", "report", "--examples", str(path), "--router", str(tmp_path / "out"), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert {"apgr", "cpt50", "cpt80", "ece", "brier", "baselines"} <= json.loads(done.stdout).keys()
    done = runner.invoke(app, ["router", "report", "--examples", str(path), "--strong", "a"])
    assert done.exit_code == 2
