"""Documents that mean harm, through real parser processes: nothing they do reaches the run or the parent."""

import asyncio
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import docx
import pytest

from rungwise_connectors.folder import Folder
from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.sandbox import Parser
from rungwise_connectors.testing import documents
from rungwise_connectors.types import Document, Parsed, ParseError, ReadersError

GOOD = Document("good.md", data=b"# Good\n\nStill here.\n")


@pytest.fixture
async def parser() -> AsyncIterator[Parser]:
    async with Parser(workers=2, timeout=20, memory_mb=512) as parser:
        yield parser


def word(text: str) -> bytes:
    out = io.BytesIO()
    document = docx.Document()
    document.add_paragraph(text)
    document.save(out)
    return out.getvalue()


def paragraphs(number: int) -> bytes:
    """A DOCX of a few kilobytes with so many paragraphs."""
    body = b"<w:p><w:r><w:t>x</w:t></w:r></w:p>" * number
    xml = b'<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>%s</w:body></w:document>'
    return documents.repacked(word("x"), {"word/document.xml": xml % body})


SLOW = Document("slow.json", data=b"[" + b'{"a":[1,2,3]},' * 2_000_000 + b"1]")
"""Seconds of work, and hundreds of megabytes."""


def children() -> set[int]:
    task = Path("/proc/self/task")
    pids = (int(pid) for thread in task.iterdir() for pid in (thread / "children").read_text().split())
    return {pid for pid in pids if b"parsers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def real(path: Path) -> Path:
    return path.resolve()


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()


def is_at_work(pid: int, since: float = 0.0) -> bool:
    """Whether a worker is past its start (its errors go nowhere then), and half a second of CPU past `since`."""
    try:
        return os.readlink(f"/proc/{pid}/fd/2") == os.devnull and cpu_seconds(pid) > since + 0.5
    except OSError:
        return False


def cpu_seconds(pid: int) -> float:
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def gone(pid: int) -> None:
    await until(lambda: not is_there(pid))


async def test_every_format_by_name(parser: Parser) -> None:
    contents = {
        "a.md": b"# Leave\n",
        "a.txt": b"Leave",
        "a.html": b"<h1>Leave</h1>",
        "a.csv": b"What,Days\nLeave,28\n",
        "a.tsv": b"What\tDays\nLeave\t28\n",
        "a.json": b'{"what": "Leave"}',
        "a.pdf": documents.pdf([[(50, 700, "Leave")]]),
        "a.docx": word("Leave"),
        "LICENSE": b"Leave",
    }
    parsed = await asyncio.gather(*(parser.parse(Document(id, data=data)) for id, data in contents.items()))
    assert ["Leave" in one.text for one in parsed] == [True] * len(contents)


async def test_the_media_type_goes_before_the_name(parser: Parser) -> None:
    parsed = await parser.parse(Document("a.txt", media_type="text/html; charset=utf-8", data=b"<p>One</p>"))
    assert parsed.text == "One"


async def test_front_matter_speaks_for_files_and_never_for_inline_text(parser: Parser, tmp_path: Path) -> None:
    text = "---\nreaders: everyone\ntitle: Mine\nattributes: {year: 2024, new: true}\n---\nText."
    file = tmp_path / "a.md"
    file.write_text(text)
    own: dict[str, str | float | bool] = {"year": 1.0, "kind": "memo"}
    parsed = await parser.parse(Document("a.md", title="Other", path=real(file), attributes=own))
    assert (parsed.readers, parsed.title, parsed.text) == (frozenset({"everyone"}), "Mine", "Text.")
    assert parsed.attributes == {"year": 2024.0, "new": True, "kind": "memo"}
    inline = await parser.parse(Document("a.md", title="Other", text=text, attributes=own))
    assert (inline.readers, inline.title, inline.text, inline.attributes) == (None, "Other", text, own)


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
async def test_front_matter_in_any_encoding(parser: Parser, encoding: str) -> None:
    data = "---\nreaders: hr\n---\nÜber uns: größer, höher, weiter.".encode(encoding)
    parsed = await parser.parse(Document("a.txt", data=data))
    assert (parsed.readers, parsed.text[:4]) == (frozenset({"hr"}), "Über")


async def test_unclear_readers_are_an_error_of_their_own(parser: Parser) -> None:
    with pytest.raises(ReadersError, match="write readers"):
        await parser.parse(Document("a.md", data=b"---\nReaders: hr\n---\ntext"))


@pytest.mark.parametrize("data", [b"---\nreaders: hr\n---\n", b"---\nreaders: hr\nattributes: {a: [1]}\n---\ntext"])
async def test_what_cannot_be_read_says_all_the_same_who_may_read_it(parser: Parser, data: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        await parser.parse(Document("a.md", data=data))
    assert caught.value.readers == frozenset({"hr"})


HOSTILE: dict[str, tuple[Document, str]] = {
    "nothing": (Document("a.pdf", data=b""), "is empty"),
    "no content": (Document("a.pdf"), "has no content"),
    "binary": (Document("a.txt", data=b"\x00\x01" * 1000), "binary"),
    "nul text": (Document("a", text="a\x00b"), "binary"),
    "divs": (Document("a.html", data=b"<div>" * 100_000 + b"x"), "nested too deeply"),
    "json": (Document("a.json", data=b'{"a":' * 200_000 + b"1" + b"}" * 200_000), "nested too deeply"),
    "yaml": (Document("a.md", data=b"---\nreaders: " + b"[" * 10_000 + b"\n---\nx"), "front matter"),
    "pages": (Document("a.pdf", data=documents.pdf([[]] * 10_000)), "10,000 pages"),
    "encrypted": (Document("a.pdf", data=documents.pdf([[(9, 9, "x")]], password="p")), "password"),
    "zip bomb": (Document("a.docx", data=documents.docx({"word/document.xml": b"<" * 2**26})), "unpacks to"),
    "inflation": (Document("a.csv", data=b"h" * 200 + b"\n" + b"x\n" * 100_000), "split it"),
    "wide": (Document("a.txt", data=b"x" * 9_000_000), "split it"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_cannot_be_read_says_why_and_the_next_one_is_read(name: str) -> None:
    document, reason = HOSTILE[name]
    async with Parser(workers=1, timeout=20, memory_mb=512, limits=Limits(characters=2_000_000)) as parser:
        with pytest.raises(ParseError, match=reason):
            await parser.parse(document)
        assert (await parser.parse(GOOD)).title == "Good"


async def test_a_hundred_thousand_paragraphs_are_no_bomb(parser: Parser) -> None:
    assert (await parser.parse(Document("a.docx", data=paragraphs(100_000)))).text.count("x") == 100_000


async def test_a_document_that_takes_too_long_is_stopped_and_its_process_is_gone() -> None:
    async with Parser(workers=1, timeout=0.5) as parser:
        await parser.parse(GOOD)
        (pid,) = children()
        with pytest.raises(ParseError, match=r"takes longer than 0\.5 s"):
            await parser.parse(SLOW)
        await gone(pid)
        assert (await parser.parse(GOOD)).title == "Good"


async def test_a_document_that_takes_too_much_memory_is_refused_alone() -> None:
    async with Parser(workers=1, timeout=60, memory_mb=300) as parser:
        with pytest.raises(ParseError, match="needs more than 300 MB"):
            await parser.parse(SLOW)
        assert (await parser.parse(GOOD)).title == "Good"


async def test_a_process_that_dies_is_replaced_and_its_document_tried_again(parser: Parser) -> None:
    await parser.parse(GOOD)
    for pid in children():
        os.kill(pid, signal.SIGKILL)
    assert (await parser.parse(GOOD)).title == "Good"


async def test_a_document_that_crashes_a_fresh_process_too_is_to_blame(parser: Parser) -> None:
    await parser.parse(GOOD)
    (first,) = children()
    before = cpu_seconds(first)
    task = asyncio.create_task(parser.parse(SLOW))
    await until(lambda: is_at_work(first, before))
    os.kill(first, signal.SIGSEGV)
    await until(lambda: any(is_at_work(pid) for pid in children() - {first}))
    (second,) = children() - {first}
    os.kill(second, signal.SIGSEGV)
    with pytest.raises(ParseError, match="SIGSEGV"):
        await task


async def test_leaving_a_document_half_way_harms_no_other(parser: Parser) -> None:
    await parser.parse(GOOD)
    (pid,) = children()
    before = cpu_seconds(pid)
    task = asyncio.create_task(parser.parse(SLOW))
    await until(lambda: is_at_work(pid, before))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    many = await asyncio.gather(*(parser.parse(Document(f"{n}.md", data=b"# %d\n" % n)) for n in range(50)))
    assert [one.title for one in many] == [str(n) for n in range(50)]
    await gone(pid)


async def test_a_process_serves_many_documents_however_large_the_parent_is(parser: Parser) -> None:
    ballast = bytearray(b"x") * 400_000_000
    await parser.parse(GOOD)
    served = children()
    for _ in range(5):
        await parser.parse(Document("a.pdf", data=documents.pdf([[(50, 700, "Leave")]])))
    assert children() == served
    assert ballast


async def test_processes_end_with_the_parser() -> None:
    parser = Parser(workers=2)
    await asyncio.gather(*(parser.parse(GOOD) for _ in range(4)))
    started = children()
    assert 1 <= len(started) <= 2
    await parser.close()
    for pid in started:
        await gone(pid)


async def test_a_process_that_cannot_start_is_no_fault_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    async with Parser() as parser:
        with pytest.raises(RuntimeError, match="does not start"):
            await parser.parse(GOOD)


def test_workers_end_when_their_parent_is_killed() -> None:
    program = """
import asyncio, sys
from rungwise_connectors.sandbox import Parser
from rungwise_connectors.types import Document
async def main():
    parser = Parser(workers=1)
    await parser.parse(Document("a.md", data=b"# x"))
    print(parser._idle[0]._process.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    asyncio.run(gone(worker))


async def test_secrets_of_the_parent_are_not_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    async with Parser(workers=1) as parser:
        await parser.parse(GOOD)
        (pid,) = children()
        environment = environment_of(pid)
    assert b"PATH=" in environment
    assert b"sk-secret" not in environment


async def test_a_module_in_the_working_directory_is_not_taken_for_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docx.py").write_text("raise SystemExit('hostile')")
    monkeypatch.chdir(tmp_path)
    async with Parser(workers=1) as parser:
        assert "Leave" in (await parser.parse(Document("a.docx", data=word("Leave")))).text


async def test_a_folder_swapped_for_a_link_after_the_walk_leads_nowhere(parser: Parser, tmp_path: Path) -> None:
    root, secret = tmp_path / "docs", tmp_path / "secret"
    for place in (root / "sub", secret):
        place.mkdir(parents=True)
        (place / "a.md").write_text(f"In {place.name}.")
    (batch,) = [batch async for batch in Folder("f", root).changes(None)]
    (document,) = batch.changes
    assert isinstance(document, Document)
    assert isinstance(await parser.parse(document), Parsed)
    (root / "sub").rename(root / "moved")
    (root / "sub").symlink_to(secret)
    with pytest.raises(ParseError, match="symbolic link"):
        await parser.parse(document)


async def test_a_file_that_is_gone_is_an_error(parser: Parser, tmp_path: Path) -> None:
    with pytest.raises(ParseError, match="no such file"):
        await parser.parse(Document("a.md", path=real(tmp_path) / "a.md"))


async def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.pdf").open("wb") as file:
        file.truncate(2**33)
    async with Parser(workers=1, limits=Limits(size=2**20)) as parser:
        for document in (Document("a.pdf", path=real(tmp_path) / "a.pdf"), Document("a.pdf", data=b"x" * 2**21)):
            with pytest.raises(ParseError, match="larger"):
                await parser.parse(document)
