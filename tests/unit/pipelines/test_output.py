"""What verbs print for people."""

import pytest

from rungwise_pipelines.commands.output import table


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_rows_name_stays_in_one_piece_and_nothing_is_cut_off(
    width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", str(width))
    columns = ("id", "question", "asked by", "known", "topic", "why", "weight")
    row = ("ex-058138fe7893ec2a5ef4", "What does it eat? " * 6, "everyone", "reference", "eating", "weak " * 9, "1.0")
    table(columns, [row])
    printed = capsys.readouterr().out
    assert (row[0] in printed) == (width >= 80)
    assert printed.count("eat?") == 6 or width == 40
    table(("id", "question"), [("x" * 300, "y" * 300)])
    printed = capsys.readouterr().out
    assert (printed.count("x"), printed.count("y")) == (300, 300)
