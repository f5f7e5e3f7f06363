"""The outputs of a batch: taken up again after any cut, refused for another batch."""

import json
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_pipelines.batch.ask import Answered
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.output import Mark, open_output
from rungwise_pipelines.batch.run import Tally
from rungwise_server.api.errors import error_body
from rungwise_server.errors import BadRequest, Conflict, RungwiseError, SetupError, UpstreamError, UpstreamLimited
from rungwise_server.types import Usage

MARK = Mark("abc", "everyone", "in.jsonl")


def of(number: int) -> Line:
    return Line(number, f"id {number}", "/v1/chat/completions", b"{}")


def opened(folder: Path, mark: Mark = MARK):  # type: ignore[no-untyped-def]
    return open_output(folder / "out", folder / "errors", mark, lambda _, error: error_body(error))


def write(folder: Path, answers: range, failures: dict[int, RungwiseError]) -> None:
    with opened(folder) as files:
        for number in answers:
            answer = Answered(f"c-{number}", b'{\n"a":1}', 200, "strong", Usage(3, 2, 1), 0.5)
            files.answered(of(number), answer)
        for number, error in failures.items():
            files.failed(of(number), error)


def recovered(folder: Path, *, retry_failed: bool = False) -> tuple[set[str], Tally]:
    tally = Tally()
    with opened(folder) as files:
        return set(files.recover(tally, retry_failed=retry_failed)), tally


def test_results_are_openais_lines_with_ours_beside(tmp_path: Path) -> None:
    write(tmp_path, range(1), {5: BadRequest("wrong", param="n")})
    (answer,) = [json.loads(row) for row in (tmp_path / "out").read_text().splitlines()]
    assert answer["id"].startswith("batch_req_")
    assert answer["custom_id"] == "id 0"
    assert answer["error"] is None
    assert answer["response"] == {"status_code": 200, "request_id": "c-0", "body": {"a": 1}}
    ours = {"candidate": "strong", "input_tokens": 3, "output_tokens": 2, "cached_tokens": 1, "cost": 0.5}
    assert answer["rungwise"] == ours
    (failure,) = [json.loads(row) for row in (tmp_path / "errors").read_text().splitlines()]
    assert failure["response"]["status_code"] == 400
    assert set(failure["response"]["body"]["error"]) == {"message", "type", "param", "code"}
    assert failure["response"]["body"]["error"]["param"] == "n"


def test_what_was_written_is_counted_and_passing_failures_are_tried_again(tmp_path: Path) -> None:
    failures = {7: BadRequest("no"), 8: UpstreamError("5xx"), 9: UpstreamLimited("429")}
    write(tmp_path, range(3), failures)
    done, tally = recovered(tmp_path)
    assert done == {"id 0", "id 1", "id 2", "id 7"}
    assert (tally.answered, tally.failed, tally.cost) == (3, 1, 1.5)
    assert (tally.input_tokens, tally.output_tokens, tally.cached_tokens) == (9, 6, 3)
    assert recovered(tmp_path)[0] == done
    assert [json.loads(row)["custom_id"] for row in (tmp_path / "errors").read_text().splitlines()] == ["id 7"]
    assert recovered(tmp_path, retry_failed=True)[0] == {"id 0", "id 1", "id 2"}
    assert (tmp_path / "errors").read_text() == ""


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_has_its_whole_lines(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = tmp_path_factory.mktemp("cut")
    write(folder, range(4), {8: BadRequest("no"), 9: BadRequest("no")})
    for name in ("out", "errors"):
        whole = (folder / name).read_bytes()
        cut = whole[: data.draw(st.integers(0, len(whole)))]
        (folder / name).write_bytes(cut)
    expected = {
        json.loads(row)["custom_id"]
        for name in ("out", "errors")
        for row in (folder / name).read_bytes().split(b"\n")[:-1]
    }
    done, _ = recovered(folder)
    assert done == expected
    with opened(folder) as files:
        files.answered(of(99), Answered("c", b"{}"))
    assert recovered(folder)[0] == {*expected, "id 99"}


def test_a_broken_line_in_the_middle_is_nothing_to_write_after(tmp_path: Path) -> None:
    write(tmp_path, range(2), {})
    with (tmp_path / "out").open("ab") as file:
        file.write(b"what?\n{}\n")
    with pytest.raises(SetupError, match="no result of a batch"):
        recovered(tmp_path)


@pytest.mark.parametrize(
    ("mark", "said"),
    [(Mark("other", "everyone", "b.jsonl"), "another input than b.jsonl"), (Mark("abc", "user:ana"), "begun as every")],
)
def test_the_outputs_of_another_batch_are_left_alone(tmp_path: Path, mark: Mark, said: str) -> None:
    write(tmp_path, range(2), {})
    before = (tmp_path / "out").read_bytes()
    with pytest.raises(SetupError, match=said), opened(tmp_path, mark):
        pass
    assert (tmp_path / "out").read_bytes() == before


def test_a_file_that_is_no_output_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("my thesis\n")
    for _ in range(2):
        with pytest.raises(SetupError, match="not from `rungwise batch`"), opened(tmp_path):
            pass
    assert (tmp_path / "out").read_text() == "my thesis\n"


def test_two_processes_do_not_write_one_output(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(Conflict, match="another process"), opened(tmp_path):
        pass


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="No such file"), opened(tmp_path / "none"):
        pass


def test_a_disk_that_is_full_is_said_and_leaves_whole_lines(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(tmp_path) as files:
        files.answered(of(0), Answered("c", b"{}"))
        size = (tmp_path / "out").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50, hard))
        try:
            with pytest.raises(SetupError, match="run the same command again"):
                files.answered(of(1), Answered("c", b"{}"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (tmp_path / "out").stat().st_size == size
    assert recovered(tmp_path)[0] == {"id 0"}
