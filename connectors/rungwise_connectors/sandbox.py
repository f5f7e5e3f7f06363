"""Parsing in processes with limits, because documents are hostile."""

import asyncio
import os
import signal
import sys
from typing import Self

import msgspec
from msgspec.structs import replace

from rungwise_connectors.parsers.limits import Limits
from rungwise_connectors.parsers.worker import LENGTH, Reply, Request
from rungwise_connectors.types import Document, Parsed, ParseError, ReadersError

_START_SECONDS = 60
_ENVIRONMENT = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL", "TMPDIR", "TEMP")
"""All that a worker inherits: no key or password of the parent's is there to be read."""

_REPLY = msgspec.msgpack.Decoder(Reply)


class Parser:
    """Parses documents, `workers` at a time, each in its own process with `memory_mb` megabytes and `timeout` seconds.

    A document that takes too long, too much memory, or crashes its process costs that process and nothing else. The
    processes start when they are needed and end with `close`, or when the parent does. They can read what their user
    can read, so a path must come from a connector, never from a document.
    """

    def __init__(
        self,
        workers: int = 2,
        timeout: float = 60.0,
        memory_mb: int = 1024,
        limits: Limits = Limits(),  # noqa: B008 a frozen value
    ) -> None:
        self._slots = asyncio.Semaphore(workers)
        self._timeout = timeout
        self._memory_mb = memory_mb
        self._limits = limits
        self._idle: list[_Worker] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def parse(self, document: Document) -> Parsed:
        """The text of `document`, as `rungwise_connectors.parsers.parse.parse` gives it.

        Raises:
            ReadersError: it names its readers, wrongly.
            ParseError: it cannot be read, or passes a limit. The message goes after the document's name.
            RuntimeError: no process can be started, so that no document could be parsed.
        """
        if len(document.data or b"") > self._limits.size or len(document.text or "") > self._limits.characters:
            raise ParseError("is larger than allowed: split it")
        path = None if document.path is None else os.fsencode(document.path)
        request = Request(replace(document, path=None), path, self._limits, self._timeout)
        frame = msgspec.msgpack.encode(request)
        async with self._slots:
            reply = await self._ask(frame)
        if reply.parsed is None:
            raise (ReadersError if reply.readers else ParseError)(reply.error, reply.named)
        return reply.parsed

    async def close(self) -> None:
        """End the processes. Later documents start new ones."""
        while self._idle:
            await self._idle.pop().end()

    async def _ask(self, frame: bytes) -> Reply:
        while True:
            worker = self._idle.pop() if self._idle else await _Worker.start(self._memory_mb, self._limits)
            used = worker.used
            try:
                async with asyncio.timeout(self._timeout):
                    reply = await worker.ask(frame)
            except TimeoutError:
                await worker.end()
                return Reply(error=f"takes longer than {self._timeout:g} s to parse")
            except (EOFError, ConnectionError, msgspec.MsgspecError) as error:
                reply = Reply(error=await worker.crash(error), last=True)
            except BaseException:
                worker.kill()
                raise
            if not reply.last:
                self._idle.append(worker)
                return reply
            await worker.end()
            # Its death may be due to documents before: only a fresh process's word counts.
            if reply.parsed is not None or not used:
                return reply


class _Worker:
    """One process, and how to talk to it."""

    def __init__(self, process: asyncio.subprocess.Process, limits: Limits) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._requests = process.stdin
        self._replies = process.stdout
        # A reply is its text in UTF-8, and as many bytes a section as headings can have.
        self._longest = 4 * limits.characters + 10_000 * min(limits.sections, 50_000) + 2**20
        self.used = False

    @classmethod
    async def start(cls, memory_mb: int, limits: Limits) -> "_Worker":
        """A process that has said it is ready. Raises RuntimeError with what it said else."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # a docx.py in the working directory is not python-docx
            "-m",
            "rungwise_connectors.parsers.worker",
            str(memory_mb),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # an interrupt at the keyboard is the parent's to handle
            limit=2**20,
        )
        worker = cls(process, limits)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await worker._read()
        except (EOFError, ConnectionError, TimeoutError, msgspec.MsgspecError):
            worker.kill()
            _, said = await process.communicate()
            raise RuntimeError(f"the parser process does not start: {said.decode(errors='replace')[-2000:]}") from None
        except BaseException:
            worker.kill()
            raise
        return worker

    async def ask(self, frame: bytes) -> Reply:
        """Its reply to a request. Raises EOFError or ConnectionError when it died, MsgspecError when it babbles."""
        self.used = True
        self._requests.write(LENGTH.pack(len(frame)))
        self._requests.write(frame)
        await self._requests.drain()
        return await self._read()

    async def _read(self) -> Reply:
        (length,) = LENGTH.unpack(await self._replies.readexactly(LENGTH.size))
        if length > self._longest:
            raise msgspec.DecodeError("the reply is too long")
        return _REPLY.decode(await self._replies.readexactly(length))

    def kill(self) -> None:
        """End it at once."""
        if self._process.returncode is None:
            self._process.kill()

    async def end(self) -> None:
        """End it and wait until it is gone. An idle one has nothing to lose."""
        self.kill()
        self._requests.close()
        await self._process.wait()

    async def crash(self, error: Exception) -> str:
        """Why it died, in words."""
        if isinstance(error, msgspec.MsgspecError):
            return f"the parser went astray: {error}"
        code = await self._process.wait()
        if code == -signal.SIGKILL:
            return "the parser was killed (out of memory?)"
        return f"the parser crashed ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})"
