import os
import time
from pathlib import Path

import pytest

from rungwise_connectors.folder import Folder
from rungwise_connectors.types import Change, Document, Fault, SourceError


async def everything(folder: Folder, since: str | None = None) -> dict[str, Change]:
    return {change.id: change async for batch in folder.changes(since) for change in batch.changes}


async def ids(folder: Folder) -> set[str]:
    return {id async for id in folder.ids()}


async def last_cursor(folder: Folder) -> str:
    return [batch.cursor async for batch in folder.changes(None)][-1]


def write(path: Path, text: str = "Text.") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def settle(*paths: Path) -> None:
    """Wait until a walk that starts now is surely later than these changes."""
    newest = max(path.stat().st_ctime_ns for path in paths)
    while time.time_ns() < newest + 110_000_000:
        time.sleep(0.01)


async def test_documents_carry_a_path_and_no_address_of_the_server(tmp_path: Path) -> None:
    file = write(tmp_path / "a" / "b.md")
    document = (await everything(Folder("f", tmp_path, frozenset({"staff"}))))["a/b.md"]
    assert isinstance(document, Document)
    assert (document.path, document.media_type, document.url) == (file.resolve(), "text/markdown", "")
    assert document.readers == frozenset({"staff"})


async def test_readers_are_left_open_unless_given(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    document = (await everything(Folder("f", tmp_path)))["a.md"]
    assert isinstance(document, Document)
    assert document.readers is None


async def test_known_endings_are_taken_and_hidden_names_left(tmp_path: Path) -> None:
    for name in ("a.MD", "b.pdf", "c.docx", "d.exe", ".e.md", ".git/f.md", "~$c.docx", "g", "h.csv"):
        write(tmp_path / name)
    assert await ids(Folder("f", tmp_path)) == {"a.MD", "b.pdf", "c.docx", "h.csv"}


async def test_patterns_take_and_leave(tmp_path: Path) -> None:
    for name in ("a.md", "b.log", "drafts/c.md", "sub/d.log", "sub/e.md"):
        write(tmp_path / name)
    assert await ids(Folder("f", tmp_path, include=["*.log"])) == {"b.log", "sub/d.log"}
    assert await ids(Folder("f", tmp_path, exclude=["drafts", "sub/e.*"])) == {"a.md"}
    assert await ids(Folder("f", tmp_path, include=["sub/**"], exclude=["*.log"])) == {"sub/e.md"}


async def test_a_single_file_is_taken_whatever_its_ending(tmp_path: Path) -> None:
    file = write(tmp_path / "notes.log")
    write(tmp_path / "other.md")
    folder = Folder("f", file)
    assert await ids(folder) == {"notes.log"}
    assert set(await everything(folder)) == {"notes.log"}


async def test_links_lead_nowhere_else(tmp_path: Path) -> None:
    root = tmp_path / "docs"
    secret = write(tmp_path / "secret" / "key.md")
    write(root / "a.md")
    (root / "inside.md").symlink_to("a.md")
    (root / "passwd.txt").symlink_to("/etc/passwd")
    (root / "out.md").symlink_to(secret)
    (root / "folder").symlink_to(secret.parent)
    (root / "dangling.md").symlink_to("nothing")
    (root / "loop.md").symlink_to("loop.md")
    (root / "up").symlink_to(".")
    found = await everything(Folder("f", root))
    reasons = {id: change.reason for id, change in found.items() if isinstance(change, Fault)}
    assert set(reasons) == {"passwd.txt", "out.md", "dangling.md", "loop.md"}
    assert "leaves the folder" in reasons["passwd.txt"]
    assert "nothing" in reasons["dangling.md"]
    assert set(found) - set(reasons) == {"a.md", "inside.md"}
    assert await ids(Folder("f", root)) == {"a.md", "inside.md"}


async def test_mounted_configuration_is_read_through_its_links(tmp_path: Path) -> None:
    write(tmp_path / "..2024" / "a.md", "One.")
    write(tmp_path / "..2024" / "sub" / "b.md", "Two.")
    (tmp_path / "..data").symlink_to("..2024")
    (tmp_path / "a.md").symlink_to("..data/a.md")
    (tmp_path / "sub").symlink_to("..data/sub")
    assert set(await everything(Folder("f", tmp_path))) == {"a.md", "sub/b.md"}


async def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path / "real" / "a.md")
    (tmp_path / "link").symlink_to("real")
    assert await ids(Folder("f", tmp_path / "link")) == {"a.md"}


async def test_pipes_are_named_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    write(tmp_path / "a.md")
    found = await everything(Folder("f", tmp_path))
    assert found["pipe.md"] == Fault("pipe.md", "is no regular file")
    assert isinstance(found["a.md"], Document)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
async def test_what_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    write(tmp_path / "closed.md").chmod(0)
    write(tmp_path / "sub" / "b.md")
    (tmp_path / "sub").chmod(0)
    folder = Folder("f", tmp_path)
    try:
        found = await everything(folder)
        assert found["closed.md"] == Fault("closed.md", "permission denied")
        assert isinstance(found["sub"], Fault)
        with pytest.raises(SourceError, match="sub"):
            await ids(folder)
    finally:
        (tmp_path / "sub").chmod(0o700)
    assert await ids(folder) == {"a.md", "closed.md", "sub/b.md"}


async def test_names_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.md")))
    write(tmp_path / "café.md")
    found = await everything(Folder("f", tmp_path))
    assert isinstance(found["café.md"], Document)
    assert found["caf\\udce9.md"] == Fault("caf\\udce9.md", "the name is not UTF-8: rename it")


@pytest.mark.parametrize("name", ["nowhere", "a.md/below"])
async def test_a_root_that_is_not_there_is_an_error_in_words(tmp_path: Path, name: str) -> None:
    write(tmp_path / "a.md")
    with pytest.raises(SourceError, match=r"source f: .* cannot be read: "):
        await everything(Folder("f", tmp_path / name))
    with pytest.raises(SourceError, match=r"source f: .* cannot be read: "):
        await ids(Folder("f", tmp_path / name))


async def test_a_moved_folder_brings_its_files_though_they_are_old(tmp_path: Path) -> None:
    root, old = tmp_path / "docs", write(tmp_path / "elsewhere" / "old.md")
    new = write(root / "new.md")
    settle(old, new)
    write(root / "newer.md")
    cursor = await last_cursor(Folder("f", root))
    (tmp_path / "elsewhere").rename(root / "sub")
    assert "sub/old.md" in await everything(Folder("f", root), cursor)


async def test_a_settled_folder_yields_the_newest_alone(tmp_path: Path) -> None:
    first = write(tmp_path / "first.md")
    settle(first)
    second = write(tmp_path / "second.md")
    settle(second)
    cursor = await last_cursor(Folder("f", tmp_path))
    assert set(await everything(Folder("f", tmp_path), cursor)) == {"second.md"}


async def test_other_patterns_or_another_path_begin_anew(tmp_path: Path) -> None:
    first = write(tmp_path / "first.log")
    settle(first)
    settle(write(tmp_path / "second.md"))
    cursor = await last_cursor(Folder("f", tmp_path))
    assert "first.log" in await everything(Folder("f", tmp_path, include=["*.log", "*.md"]), cursor)


@pytest.mark.parametrize("cursor", ["", "nonsense", "-", "9" * 30, "1-xyz"])
async def test_a_foreign_cursor_begins_anew(tmp_path: Path, cursor: str) -> None:
    write(tmp_path / "a.md")
    assert set(await everything(Folder("f", tmp_path), cursor)) == {"a.md"}


async def test_a_cursor_from_the_future_begins_anew(tmp_path: Path) -> None:
    write(tmp_path / "a.md")
    cursor = await last_cursor(Folder("f", tmp_path))
    future = str(time.time_ns() + 10**12) + cursor[cursor.index("-") :]
    assert set(await everything(Folder("f", tmp_path), future)) == {"a.md"}


async def test_touching_a_small_file_is_no_new_version(tmp_path: Path) -> None:
    file = write(tmp_path / "a.md")
    before = (await everything(Folder("f", tmp_path)))["a.md"]
    os.utime(file, (1, 1))
    assert (await everything(Folder("f", tmp_path)))["a.md"] == before


async def test_a_large_file_is_known_by_its_ends_its_size_and_its_time(tmp_path: Path) -> None:
    file = write(tmp_path / "a.md", "x" * 300_000)
    before = (await everything(Folder("f", tmp_path)))["a.md"]
    with file.open("r+") as large:
        large.seek(299_990)
        large.write("y")
    os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns))
    assert (await everything(Folder("f", tmp_path)))["a.md"] != before


async def test_records_in_a_folder_are_documents_of_their_own(tmp_path: Path) -> None:
    lines = '{"id": 1, "text": "One."}\n{"id": "b", "text": "Two.", "readers": "hr"}\nbroken\n{"id": "c"}\n'
    write(tmp_path / "sub" / "faq.jsonl", lines)
    folder = Folder("f", tmp_path, frozenset({"staff"}))
    found = await everything(folder)
    one, two = found["sub/faq.jsonl#1"], found["sub/faq.jsonl#b"]
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert (one.text, one.readers, two.readers) == ("One.", frozenset({"staff"}), frozenset({"hr"}))
    assert set(found) - {one.id, two.id} == {"sub/faq.jsonl:3", "sub/faq.jsonl#c"}
    assert await ids(folder) == {"sub/faq.jsonl#1", "sub/faq.jsonl#b", "sub/faq.jsonl#c"}


async def test_records_that_break_off_delete_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00")
    folder = Folder("f", tmp_path)
    assert "breaks off" in str(await everything(folder))
    with pytest.raises(SourceError, match="breaks off"):
        await ids(folder)
