"""Walking a folder that changes meanwhile and may hold traps."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from msgspec import Struct

from rungwise_connectors.files import why


class Found(Struct, frozen=True, gc=False):
    """A file, or what stands where one should.

    `id` is its path from the root with `/`; `changed` nanoseconds since the epoch; `path` the real one. With a `fault`
    it cannot be read: a `file` and all files of a `folder` are there nevertheless, a bad `link` holds no document.
    """

    id: str
    changed: int
    path: str
    kind: Literal["file", "folder", "link"] = "file"
    fault: str = ""


class Walk:
    """Every file below `root` (a real path) that `files` takes, in folders that `folders` takes; both are asked by id.

    Hidden names and office lock files are left out. Links to files inside the root are read there; links to folders
    inside the root only where those are hidden (so mounted configuration works, and nothing is read twice); links out
    of the root are never followed. What vanishes meanwhile is not there.

    A folder that was moved or renamed keeps its files' change times, so a file counts as changed when any folder above
    it, short of the root, did.
    """

    def __init__(self, root: Path, files: Callable[[str], bool], folders: Callable[[str], bool]) -> None:
        self._root = str(root)
        self._files = files
        self._folders = folders

    def __iter__(self) -> Iterator[Found]:
        """Files and faults, no two with one id. Raises OSError when the root cannot be listed."""
        followed: set[str] = set()
        pending = [Found("", 0, self._root, "folder")]
        while pending:
            folder = pending.pop()
            try:
                with os.scandir(folder.path) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                if not folder.id:
                    raise
                if not isinstance(error, FileNotFoundError):
                    yield _fault(folder.id, folder.changed, "folder", f"the folder cannot be listed: {why(error)}")
                continue
            for entry in entries:
                found = self._look(entry, folder)
                if found is None:
                    continue
                if found.kind != "folder" or found.fault:
                    yield found
                elif not entry.is_symlink():
                    pending.append(found)
                elif found.path not in followed and self._hidden(found.path):
                    followed.add(found.path)
                    pending.append(found)

    def _look(self, entry: os.DirEntry[str], folder: Found) -> Found | None:
        if entry.name.startswith((".", "~$")):
            return None
        id = f"{folder.id}/{entry.name}" if folder.id else entry.name
        link = entry.is_symlink()
        if link and not (self._files(id) or self._folders(id)):
            return None
        found = self._behind(entry, id, folder.changed) if link else self._there(entry, id, folder.changed)
        if found is None or not (link and found.fault):
            wanted = found is not None and (self._folders if found.kind == "folder" else self._files)(id)
            return found if wanted else None
        return found if self._files(id) else None

    def _there(self, entry: os.DirEntry[str], id: str, changed: int) -> Found | None:
        kind: Literal["file", "folder"] = "folder" if entry.is_dir(follow_symlinks=False) else "file"
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            return _fault(id, changed, kind, why(error))
        changed = max(changed, status.st_ctime_ns)
        if not _is_utf8(entry.name):
            return _fault(id, changed, kind, "the name is not UTF-8: rename it")
        return Found(id, changed, entry.path, kind)

    def _behind(self, entry: os.DirEntry[str], id: str, changed: int) -> Found | None:
        try:
            changed = max(changed, entry.stat(follow_symlinks=False).st_ctime_ns)
            path = os.path.realpath(entry.path, strict=True)
            if os.path.commonpath((path, self._root)) != self._root:
                return _fault(id, changed, "link", "the symbolic link leaves the folder: it is not followed")
            status = os.stat(path)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError)
            return _fault(id, changed, "link", "the symbolic link leads to nothing" if gone else why(error))
        if not _is_utf8(entry.name):
            return _fault(id, changed, "link", "the name is not UTF-8: rename it")
        return Found(id, max(changed, status.st_ctime_ns), path, "folder" if stat.S_ISDIR(status.st_mode) else "file")

    def _hidden(self, path: str) -> bool:
        return any(part.startswith(".") for part in os.path.relpath(path, self._root).split(os.sep) if part != ".")


def _fault(id: str, changed: int, kind: Literal["file", "folder", "link"], fault: str) -> Found:
    return Found(id.encode("utf-8", "backslashreplace").decode(), changed, "", kind, fault)


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
