"""The judge of what an answer rests on that needs no language model."""

from importlib import resources
from pathlib import Path

import pytest

from rungwise_server.judging.judges.grounded import Grounded
from rungwise_server.testing.judges import answered
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Caller


@pytest.mark.parametrize("answer", ["You're welcome!", "I do not know.", "", "Hello. How can I help you?"])
async def test_an_answer_that_claims_nothing_is_left_out(answer: str) -> None:
    said = await Grounded("groundedness", "grounded", HashEmbedder()).grade(answered(answer), Caller())
    assert said.value is None
    assert "claims nothing" in said.reason


async def test_one_claim_is_enough() -> None:
    judge = Grounded("groundedness", "grounded", HashEmbedder())
    good = await judge.grade(answered("You're welcome! Refunds take five days [1]."), Caller())
    bad = await judge.grade(answered("You're welcome! Whales sing at night [1]."), Caller())
    assert good.value is not None
    assert bad.value is not None
    assert bad.value < good.value
    assert bad.reason.startswith("Least supported")


def test_all_that_decides_its_grades_is_in_its_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With another line in any of these files it is another judge."""
    before = Grounded("groundedness", "grounded", HashEmbedder()).hash
    here = Path(str(resources.files("rungwise_server")))
    names = [
        *(f"judging/{name}.py" for name in ("groundedness", "claims", "evidence", "declines")),
        *(f"text/{name}.py" for name in ("overlap", "sentences")),
    ]
    copies = {name: (here / name).read_text() for name in names}
    for name, text in copies.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(resources, "files", lambda _: tmp_path)
    assert Grounded("groundedness", "grounded", HashEmbedder()).hash == before
    for name, text in copies.items():
        (tmp_path / name).write_text(f"{text}\n_MORE = 1\n")
        assert Grounded("groundedness", "grounded", HashEmbedder()).hash != before
        (tmp_path / name).write_text(text)
