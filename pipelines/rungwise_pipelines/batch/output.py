"""The files that results are written to: appended to, a whole line at a time, and taken up again after any kill.

Answers go to one file, failures to another, in OpenAI's form. Beside them stands OUTPUT.batch: it says which input and
which caller they belong to, and is locked by the process that writes. A line that was written has its result, and is
never done again, but for failures that another attempt may mend: the next run takes those out and tries them anew.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from rungwise_pipelines.batch.ask import Answered
from rungwise_pipelines.batch.lines import Line
from rungwise_pipelines.batch.run import Tally
from rungwise_server.errors import Conflict, RungwiseError, SetupError
from rungwise_server.types import Ids, Usage

_PASSING = frozenset({408, 429})
_READ = 1 << 20


class Spent(Struct, frozen=True, omit_defaults=True):
    """Ours beside OpenAI's fields: who answered, and what it took. `cost` is left out where no price is known."""

    candidate: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None


class Response(Struct, frozen=True):
    """An HTTP response, as it would have been. `request_id` is the inference id."""

    status_code: int
    request_id: str
    body: Raw


class Trouble(Struct, frozen=True):
    """Why there is no response."""

    code: str
    message: str


class Result(Struct, frozen=True):
    """A line of either file, as OpenAI has it."""

    id: str
    custom_id: str
    response: Response | None = None
    error: Trouble | None = None
    rungwise: Spent | UnsetType = UNSET


class Mark(Struct, frozen=True):
    """What OUTPUT.batch says."""

    input: str
    """Fingerprint of the input's contents."""
    caller: str = ""
    """Whose permissions the answers were made with."""
    path: str = ""


class _Head(Struct):
    custom_id: str
    response: "_Status | None" = None
    rungwise: Spent | None = None


class _Status(Struct):
    status_code: int


_HEAD = msgspec.json.Decoder(_Head)


class Output:
    """The pair of files, a `Sink`. Use `open_output`.

    Args:
        error_body: the body of an error, as the clients of the line's surface know it.
    """

    def __init__(self, output: Path, errors: Path, error_body: Callable[[Line, Exception], bytes]) -> None:
        self.output, self.errors = output, errors
        self._error_body = error_body
        self._new_id = Ids("batch_req_")
        self._open: dict[Path, tuple[int, int]] = {}

    def recover(self, tally: Tally, *, retry_failed: bool = False) -> Iterator[str]:
        """The custom_ids that earlier runs are done with, counted in `tally`. Cuts a line that a kill tore, and takes
        failures out of their file that are to be tried again: the passing ones, or with `retry_failed` all.

        Raises:
            SetupError: a file is not one of ours, or cannot be written.
        """
        for head, _ in self._heads(self.output):
            spent = head.rungwise or Spent()
            usage = Usage(spent.input_tokens, spent.output_tokens, spent.cached_tokens)
            tally.add(Answered("", b"", usage=usage, cost=spent.cost))
            yield head.custom_id
        kept = self.errors.with_name(self.errors.name + ".new")
        with self._told(kept), kept.open("wb") as file:
            for head, raw in self._heads(self.errors):
                if not (retry_failed or _passing(head)):
                    file.write(raw)
                    tally.failed += 1
                    yield head.custom_id
            file.flush()
            os.fsync(file.fileno())
        with self._told(self.errors):
            if self.errors.exists() or kept.stat().st_size:
                kept.replace(self.errors)
            else:
                kept.unlink()

    def results(self) -> Iterator[str]:
        """The custom_ids of all that is written."""
        for path in (self.output, self.errors):
            for head, _ in self._heads(path):
                yield head.custom_id

    def answered(self, line: Line, answer: Answered) -> None:
        """Write an answer."""
        usage = answer.usage or Usage()
        spent = Spent(answer.candidate, usage.input_tokens, usage.output_tokens, usage.cached_tokens, answer.cost)
        self._write(
            self.output,
            Result(
                self._new_id(),
                line.custom_id,
                Response(answer.status, answer.id, Raw(_one_line(answer.body))),
                rungwise=spent if spent != Spent() else UNSET,
            ),
        )

    def failed(self, line: Line, error: Exception) -> None:
        """Write a failure."""
        id = self._new_id()
        status = error.status if isinstance(error, RungwiseError) else 500
        body = Raw(_one_line(self._error_body(line, error)))
        trouble = None
        if isinstance(error, RungwiseError) and error.code == "request_timeout":
            trouble = Trouble(error.code, error.message)
        response = Response(status, id, body) if trouble is None else None
        self._write(self.errors, Result(id, line.custom_id, response, trouble))

    def left_out(self, line: Line, code: str, message: str) -> None:
        """Write that a line was never asked."""
        self._write(self.errors, Result(self._new_id(), line.custom_id, None, Trouble(code, message)))

    def close(self) -> None:
        """See that all is on the disk, and let go of the files."""
        while self._open:
            _, (descriptor, _) = self._open.popitem()
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _write(self, path: Path, result: Result) -> None:
        with self._told(path):
            if path not in self._open:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
                self._open[path] = (descriptor, os.fstat(descriptor).st_size)
            descriptor, end = self._open[path]
            data = msgspec.json.encode(result) + b"\n"
            written = 0
            try:
                while written < len(data):
                    written += os.write(descriptor, data[written:] if written else data)
            except OSError:
                # Half a line must not stand before whole ones.
                os.ftruncate(descriptor, end)
                raise
            self._open[path] = (descriptor, end + len(data))

    def _heads(self, path: Path) -> Iterator[tuple[_Head, bytes]]:
        """The lines of a file of ours, but for a torn end, which is cut off."""
        with self._told(path), contextlib.suppress(FileNotFoundError), path.open("r+b", buffering=_READ) as file:
            end = 0
            for raw in file:
                try:
                    if not raw.endswith(b"\n"):
                        raise msgspec.DecodeError("it has no end")
                    head = _HEAD.decode(raw)
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    if file.read(1):
                        raise SetupError(
                            f"{path} has a line that is no result of a batch ({error}), at byte {end}: move the file "
                            "away, or give another output file with -o."
                        ) from None
                    file.truncate(end)
                    return
                end += len(raw)
                yield head, raw

    @contextlib.contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise SetupError(f"{path} cannot be written: its folder does not exist.") from None
        except OSError as error:
            raise SetupError(
                f"{path} cannot be written: {error.strerror}. What is done is kept; mend this and run the same command "
                "again to go on."
            ) from None


@contextlib.contextmanager
def open_output(
    output: Path, errors: Path, mark: Mark, error_body: Callable[[Line, Exception], bytes]
) -> Iterator[Output]:
    """The files of the batch that `mark` names, held while the block runs.

    Raises:
        SetupError: they belong to another input or another caller, or are no files of ours, or cannot be written.
        Conflict: another process writes them.
    """
    beside = output.with_name(output.name + ".batch")
    try:
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise SetupError(f"{output} cannot be written: {error.strerror}.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{output} is being written by another process: wait for its end, or stop it.") from None
        _check(descriptor, beside, output, errors, mark)
        files = Output(output, errors, error_body)
        try:
            yield files
        finally:
            files.close()
    finally:
        os.close(descriptor)


def _check(descriptor: int, beside: Path, output: Path, errors: Path, mark: Mark) -> None:
    other = "Give another output file with -o, or move {} away to start anew."
    said = os.pread(descriptor, 1 << 16, 0)
    try:
        had = msgspec.json.decode(said, type=Mark)
    except msgspec.MsgspecError:
        for path in (output, errors):
            if path.exists() and path.stat().st_size:
                os.unlink(beside)
                raise SetupError(
                    f"{path} is there already, and not from `rungwise batch`. " + other.format(path)
                ) from None
        # A kill in here leaves half a mark and no output: the next run writes it anew.
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(mark), 0)
        os.fsync(descriptor)
        return
    files = ", ".join(str(path) for path in (output, errors, beside) if path.exists())
    if had.input != mark.input:
        raise SetupError(
            f"{output} belongs to another input than {mark.path}"
            + (f": to {had.path}, as it was then. " if had.path else ". ")
            + other.format(files)
        )
    if had.caller != mark.caller:
        raise SetupError(
            f"{output} was begun as {had.caller or 'nobody'}, and this is {mark.caller or 'nobody'}: what one may read "
            "the other may not. " + other.format(files)
        )


def _passing(head: _Head) -> bool:
    """Whether a failure may be another one's fault than the line's."""
    return head.response is None or head.response.status_code >= 500 or head.response.status_code in _PASSING


def _one_line(body: bytes) -> bytes:
    """A JSON text on one line: within its strings, line ends are always escaped."""
    return body.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in body or b"\r" in body else body
