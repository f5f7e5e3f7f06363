"""The embedded index on disk: who owns the folder, and which collections it holds.

    index/lock                       held while a process has the index open; says which
    index/NAME/collection.json       what the collection holds, and the name of its shard's folder
    index/NAME/shard-XXXXXXXX/       the engine's own files
    index/.making-NAME  .dropped-…   what a process that died left behind; deleted by the next

Collections appear and go by one rename, so a process that dies at any point leaves all of one or nothing.
"""

import fcntl
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from rungwise_server.errors import IndexBusy, SetupError, Unavailable
from rungwise_server.types import CollectionSpec

_FORMAT = 1


class Manifest(Struct, frozen=True):
    """The content of collection.json."""

    format: int
    spec: CollectionSpec
    shard: str


class IndexFolder:
    """An index folder that this process owns until `release`.

    Raises:
        IndexBusy: another process (or another object of this one) owns it.
        SetupError: it is no folder, may not be written, or holds what is not ours.
    """

    def __init__(self, path: Path, role: str) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (path / "lock").open("a+b", buffering=0)
        except OSError as error:
            raise SetupError(f"cannot use {path} as the folder of the index: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            with self._lock:
                self._lock.seek(0)
                owner = self._lock.read(200).decode(errors="replace").strip() or "unknown"
            raise IndexBusy(
                f"the index in {path} is open in another process ({owner}): stop that one, or wait until it ends"
            ) from None
        try:
            self._lock.truncate(0)
            self._lock.write(f"pid {os.getpid()}, {role}".encode())
            self._sweep()
            self.manifests = {entry.name: self._read(entry) for entry in sorted(path.iterdir()) if entry.is_dir()}
        except OSError as error:
            self._lock.close()
            raise SetupError(f"cannot read the index in {path}: {error}") from error
        except BaseException:
            self._lock.close()
            raise

    def shard(self, collection: str) -> Path:
        """The folder of the collection's shard."""
        return self.path / collection / self.manifests[collection].shard

    def add(self, collection: str, spec: CollectionSpec, make: Callable[[Path], None]) -> None:
        """Make a collection; `make` fills the folder of its shard."""
        making = self.path / f".making-{collection}"
        shutil.rmtree(making, ignore_errors=True)
        manifest = Manifest(format=_FORMAT, spec=spec, shard=_fresh())
        making.mkdir()
        make(making / manifest.shard)
        _write(making, manifest)
        making.rename(self.path / collection)
        _sync(self.path)
        self.manifests[collection] = manifest

    def replace(self, collection: str, make: Callable[[Path, Path], None]) -> Path:
        """Put another shard in the place of a collection's; `make(old, new)` fills the new one. Returns the old one's
        folder, for the caller to delete once nothing reads it.
        """
        old = self.manifests[collection]
        manifest = msgspec.structs.replace(old, shard=_fresh())
        home = self.path / collection
        make(home / old.shard, home / manifest.shard)
        _write(home, manifest)
        self.manifests[collection] = manifest
        return home / old.shard

    def drop(self, collection: str) -> None:
        """Delete a collection whole."""
        del self.manifests[collection]
        dropped = self.path / f".dropped-{_fresh()}"
        (self.path / collection).rename(dropped)
        _sync(self.path)
        shutil.rmtree(dropped, ignore_errors=True)

    def need(self, free: int) -> None:
        """Raises Unavailable unless `free` bytes are left: the engine maps its files into memory, where a write that
        finds the disk full kills the process.
        """
        left = shutil.disk_usage(self.path).free
        if left < free:
            raise Unavailable(
                f"the disk of {self.path} is nearly full: {left >> 20} MB are left and the index needs {free >> 20} MB "
                f"to write safely: make room there, then do this again; nothing was changed"
            )

    def release(self) -> None:
        """Let others have it."""
        self._lock.close()

    def _sweep(self) -> None:
        for entry in self.path.iterdir():
            if entry.name.startswith((".making-", ".dropped-")):
                shutil.rmtree(entry, ignore_errors=True)

    def _read(self, entry: Path) -> Manifest:
        try:
            manifest = msgspec.json.decode((entry / "collection.json").read_bytes(), type=Manifest)
        except FileNotFoundError:
            raise SetupError(
                f"{entry} is no collection of an index (it has no collection.json): move it elsewhere, or name another "
                f"folder for the index"
            ) from None
        except msgspec.DecodeError as error:
            raise SetupError(
                f"{entry / 'collection.json'} is damaged ({error}): delete {entry} and run `rungwise ingest` to fill it"
            ) from None
        if manifest.format != _FORMAT:
            raise SetupError(
                f"{entry} has format {manifest.format}, this version of rungwise reads {_FORMAT}: upgrade rungwise"
            )
        for shard in entry.iterdir():
            if shard.name.startswith("shard-") and shard.name != manifest.shard:
                shutil.rmtree(shard, ignore_errors=True)
        return manifest


def _fresh() -> str:
    return f"shard-{uuid.uuid4().hex[:8]}"


def _write(folder: Path, manifest: Manifest) -> None:
    with (folder / "collection.json.new").open("wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        file.flush()
        os.fsync(file.fileno())
    (folder / "collection.json.new").rename(folder / "collection.json")
    _sync(folder)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
