"""The spool alone: what goes in comes out, once and in order, whatever was cut off, damaged, deleted or refused."""

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rungwise_server.log.rows import Row, encode
from rungwise_server.log.spool import Leftover, Spool, leftovers
from rungwise_server.testing.log import a_feedback, an_inference


def _rows(first: int, last: int, body: bytes = b"body") -> list[Row]:
    return [Row("feedback", {"id": f"r{number}"}, body) for number in range(first, last)]


def _drain(source: Spool | Leftover, limit: int = 7) -> list[Row]:
    rows: list[Row] = []
    while taken := source.take(limit):
        source.done()
        rows += taken
    return rows


def _abandoned(folder: Path, rows: list[Row], segment_bytes: int = 4 << 20) -> Path:
    """Leave rows behind as a killed process does: the lock goes, the files stay. Returns the last file."""
    spool = Spool(folder, segment_bytes=segment_bytes)
    for row in rows:
        spool.put([row], sync=False)
    spool.close()
    return max(folder.glob("*/*.spool"))


@contextmanager
def _largest_file(size: int) -> Iterator[None]:
    """As on a full disk: a write that would make a file larger is cut short, and the next one refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_rows_of_records_come_out_as_they_went_in(tmp_path: Path) -> None:
    rows = [encode(an_inference()), encode(a_feedback(text="two\nlines")), encode(an_inference("b", cost=None))]
    assert b"\n" in rows[0].body, "a client's own JSON has line ends"
    spool = Spool(tmp_path)
    assert spool.put(rows, sync=True) == 0
    assert spool.waiting == 3
    assert _drain(spool) == rows
    assert spool.waiting == 0
    spool.close()
    assert list(tmp_path.iterdir()) == []


def test_take_gives_the_same_until_done(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(_rows(0, 5), sync=False)
    assert spool.take(3) == spool.take(3) == _rows(0, 3)
    spool.done()
    spool.put(_rows(5, 6), sync=False)
    assert spool.take(9) == _rows(3, 6)


def test_files_go_once_they_are_drained(tmp_path: Path) -> None:
    spool = Spool(tmp_path, segment_bytes=1000)
    for number in range(100):
        spool.put(_rows(number, number + 1), sync=False)
    many = len(list(tmp_path.glob("*/*.spool")))
    assert many > 5
    assert _drain(spool) == _rows(0, 100)
    assert len(list(tmp_path.glob("*/*.spool"))) <= 1


def test_a_row_larger_than_any_buffer(tmp_path: Path) -> None:
    rows = _rows(0, 3, body=b"\n" * (20 << 20))
    spool = Spool(tmp_path)
    spool.put(rows, sync=False)
    assert _drain(spool) == rows


def test_only_the_owner_reads_the_spool(tmp_path: Path) -> None:
    file = _abandoned(tmp_path / "spool", _rows(0, 1))
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_a_leftover_has_one_taker(tmp_path: Path) -> None:
    _abandoned(tmp_path, _rows(0, 20), segment_bytes=500)
    (mine,) = leftovers(tmp_path)
    assert leftovers(tmp_path) == []
    assert mine.waiting == 20
    assert mine.take(7) == _rows(0, 7)
    mine.done()
    assert mine.waiting == 13
    mine.close()
    (again,) = leftovers(tmp_path)
    found = _drain(again)
    assert found[-13:] == _rows(7, 20), "none is lost"
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_living_process_is_no_leftover(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(_rows(0, 1), sync=False)
    assert leftovers(tmp_path) == []
    spool.close()
    assert len(leftovers(tmp_path)) == 1


def test_there_are_no_leftovers_where_there_is_no_folder(tmp_path: Path) -> None:
    assert leftovers(tmp_path / "none") == []


def test_every_place_to_be_cut_off(tmp_path: Path) -> None:
    """A process that dies while it writes loses at most the row that it wrote."""
    whole = _abandoned(tmp_path / "whole", _rows(0, 3, b'{"a":\n1}')).read_bytes()
    (tmp_path / "cut" / "1").mkdir(parents=True)
    for length in range(len(whole)):
        file = tmp_path / "cut" / "1" / "1.spool"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(whole[:length])
        (left,) = leftovers(tmp_path / "cut")
        assert _drain(left) == _rows(0, 3, b'{"a":\n1}')[: length * 3 // len(whole)]
        left.close()
        assert list((tmp_path / "cut").iterdir()) == []


def test_a_damaged_file_is_kept_for_a_person(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = _abandoned(tmp_path, _rows(0, 4))
    content = first.read_bytes()
    size = len(content) // 4
    first.write_bytes(content[:size] + b"#" + content[size + 1 :])
    second = first.with_name("00000002.spool")
    second.write_bytes(content)
    (left,) = leftovers(tmp_path)
    assert _drain(left) == [*_rows(0, 1), *_rows(0, 4)]
    assert left.waiting == 0
    left.close()
    aside = first.with_suffix(".unreadable")
    assert aside.exists()
    assert str(aside) in caplog.text


def test_deleted_rows_are_counted(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(_rows(0, 5), sync=False)
    spool.take(2)
    spool.done()
    for file in tmp_path.glob("*/*.spool"):
        file.unlink()
    assert spool.take(9) == []
    assert spool.lost == 3
    assert spool.waiting == 0
    spool.put(_rows(5, 7), sync=True)
    assert _drain(spool) == _rows(5, 7)


def test_a_full_disk_leaves_no_half_row(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with _largest_file(1000):
        for number in range(40):
            assert spool.put(_rows(number, number + 1), sync=False) == 0
    assert spool.fault
    assert spool.waiting == 40
    assert spool.take(5) == _rows(0, 5)
    spool.done()
    spool.put(_rows(40, 42), sync=False)
    assert not spool.fault
    assert _drain(spool) == _rows(5, 42)


def test_memory_has_an_end_too(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.write_text("no folder")
    spool = Spool(folder, memory_bytes=10_500)
    assert spool.put(_rows(0, 8), sync=False) == 0
    assert spool.put(_rows(8, 20), sync=False) == 10
    assert _drain(spool) == _rows(0, 10)
    assert spool.put(_rows(20, 21), sync=False) == 0


def test_rows_in_memory_move_to_the_disk_when_it_is_back(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.write_text("no folder")
    spool = Spool(folder)
    spool.put(_rows(0, 3), sync=False)
    assert spool.take(2) == _rows(0, 2)
    folder.unlink()
    spool.put(_rows(3, 4), sync=False)
    assert not folder.exists(), "what is being written to the database stays where it is, and all others behind it"
    spool.keep()
    spool.put(_rows(4, 5), sync=False)
    assert spool.close() == 0
    (left,) = leftovers(folder)
    assert _drain(left) == _rows(0, 5)


class SpoolMachine(RuleBasedStateMachine):
    """Against a list: any order of writing, taking, failing, running out of disk and dying."""

    def __init__(self) -> None:
        super().__init__()
        self._temporary = tempfile.TemporaryDirectory()
        self._folder = Path(self._temporary.name)
        self._spool = Spool(self._folder, segment_bytes=700)
        self._model: list[Row] = []
        self._number = 0

    @rule(count=st.integers(0, 8), sync=st.booleans())
    def put(self, count: int, sync: bool) -> None:
        rows = _rows(self._number, self._number + count)
        self._number += count
        assert self._spool.put(rows, sync=sync) == 0
        self._model += rows

    @rule(count=st.integers(1, 8), size=st.integers(0, 600))
    def put_on_a_full_disk(self, count: int, size: int) -> None:
        with _largest_file(size):
            self.put(count, sync=False)

    @rule(limit=st.integers(1, 9), works=st.booleans(), between=st.integers(0, 3))
    def move(self, limit: int, works: bool, between: int) -> None:
        taken = self._spool.take(limit)
        assert bool(taken) == bool(self._model)
        assert taken == self._model[: len(taken)]
        self.put(between, sync=False)
        if works:
            self._spool.done()
            del self._model[: len(taken)]
        else:
            self._spool.keep()

    @precondition(lambda self: not self._spool.fault)
    @rule()
    def die(self) -> None:
        self._spool.close()
        found = []
        for left in leftovers(self._folder):
            found += _drain(left)
            left.close()
        assert found[len(found) - len(self._model) :] == self._model
        self._model = []
        self._spool = Spool(self._folder, segment_bytes=700)

    @invariant()
    def counts(self) -> None:
        assert self._spool.waiting == len(self._model)
        assert self._spool.lost == 0

    def teardown(self) -> None:
        self._temporary.cleanup()


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
