"""Examples that people hand in: files of questions, in CSV or JSON lines, every mistake told by its line."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import Raw, Struct

from rungwise_server.errors import BadRequest, SetupError
from rungwise_server.evals import Example, Origin, example_id
from rungwise_server.prompt import text_message
from rungwise_server.types import Caller, Message, principal

_TOLD = 20
_SAME = {"text": "question", "gold_doc_ids": "gold", "answer": "reference", "user": "as"}
"""Names that data sets have for our fields."""
_LONGEST_CELL = 100_000
_LONG = f"a cell has more than {_LONGEST_CELL:,} characters: texts as long as that come as .jsonl."
_KNOWN = (
    "question", "messages", "reference", "answers", "gold", "answerable", "as", "groups", "topic", "why", "weight",
    "params", "origin", "source", "id",
)  # fmt: skip
_YES, _NO = frozenset({"true", "yes", "1", "y"}), frozenset({"false", "no", "0", "n"})


class Handed(Struct, frozen=True):
    """A question as it was handed in. `user` and `groups` say who asks; both empty: whoever the others are asked as."""

    messages: tuple[Message, ...]
    reference: str = ""
    gold: tuple[str, ...] = ()
    answerable: bool | None = None
    user: str = ""
    groups: frozenset[str] = frozenset()
    topic: str = ""
    why: str = ""
    weight: float = 1.0
    params: Mapping[str, Raw] = {}
    origin: Origin = "file"
    source: str = ""

    def example(self, caller: Caller) -> Example:
        """The example, asked by `caller`."""
        asker = Caller(caller.user, caller.groups | self.groups)
        return Example(
            id=example_id(self.messages, asker, self.params),
            messages=self.messages,
            caller=asker,
            origin=self.origin,
            params=self.params,
            reference=self.reference,
            gold=self.gold,
            answerable=self.answerable,
            source=self.source,
            topic=self.topic,
            why=self.why,
            weight=self.weight,
        )


class Contents(Struct, frozen=True):
    """What a file has; `ignored` are names of fields that mean nothing here."""

    examples: tuple[Handed, ...]
    ignored: tuple[str, ...] = ()


def by_hand(question: str, reference: str = "", gold: Iterable[str] = (), answerable: bool | None = None) -> Handed:
    """A question that was typed. Raises BadRequest where it is empty."""
    if not question.strip():
        raise BadRequest("The question is empty.", param="question")
    messages = (text_message("user", question),)
    return Handed(messages, reference, tuple(gold), answerable, origin="hand")


def read_examples(file: Path) -> Contents:
    """The examples of a .csv, .tsv, .jsonl or .ndjson, gzipped or not: what `rungwise eval export` writes, and fields
    that data sets name alike (`text`, `answers`, `gold_doc_ids`).

    Raises:
        BadRequest: what is wrong with which lines, the first twenty of them.
        SetupError: the file cannot be read.
    """
    name = file.name.removesuffix(".gz")
    suffix = Path(name).suffix.lower()
    if suffix not in (".csv", ".tsv", ".jsonl", ".ndjson"):
        raise BadRequest(f"{file}: examples come as .csv or .jsonl (also .gz).", param="file")
    text = _text(file)
    rows = _csv(file, text, suffix) if suffix in (".csv", ".tsv") else _lines(text)
    found: list[Handed] = []
    wrong: list[str] = []
    ignored: dict[str, None] = {}
    for number, row in rows:
        try:
            if isinstance(row, ValueError):
                raise row
            found.append(_handed(row, f"{name}:{number}", ignored))
        except ValueError as error:
            wrong.append(f"{file}:{number}: {error}")
    if wrong:
        more = f"\n… and {len(wrong) - _TOLD} more." if len(wrong) > _TOLD else ""
        raise BadRequest("Nothing was added:\n" + "\n".join(wrong[:_TOLD]) + more, param="file")
    if not found:
        raise BadRequest(f"{file} has no examples.", param="file")
    return Contents(tuple(found), tuple(ignored))


def as_line(example: Example) -> dict[str, object]:
    """An example as `rungwise eval export` writes it, and `read_examples` reads it."""
    line: dict[str, object] = {"id": example.id}
    if len(example.messages) == 1 and _plain(example.messages[0]):
        line["question"] = example.question
    else:
        line["messages"] = [json.loads(bytes(message.raw)) for message in example.messages]
    line |= {
        "reference": example.reference,
        "gold": list(example.gold),
        "answerable": example.answerable,
        "as": example.caller.user,
        "groups": sorted(example.caller.groups),
        "origin": example.origin,
        "source": example.source,
        "topic": example.topic,
        "why": example.why,
        "weight": example.weight,
    }
    if example.params:
        line["params"] = {name: json.loads(bytes(value)) for name, value in example.params.items()}
    return line


def _plain(message: Message) -> bool:
    return bytes(message.raw) == bytes(text_message("user", message.text).raw)


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        if file.suffix == ".gz":
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise BadRequest(f"{file}:{line}: this is not UTF-8; save the file as UTF-8.", param="file") from None
    except (OSError, EOFError, zlib.error) as error:
        raise SetupError(f"{file} cannot be read: {error}.") from None


def _lines(text: str) -> Iterator[tuple[int, dict[str, object] | ValueError]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line.encode())
        except (msgspec.DecodeError, RecursionError) as error:
            yield number, ValueError(f"this is not JSON: {error}")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            yield number, ValueError('an example is an object, such as {"question": "…", "reference": "…"}')


def _csv(file: Path, text: str, suffix: str) -> Iterator[tuple[int, dict[str, object] | ValueError]]:
    first = text.partition("\n")[0]
    # Where a comma is the decimal point, spreadsheets write semicolons.
    delimiter = "\t" if suffix == ".tsv" else ";" if ";" in first and "," not in first else ","
    table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        head = [name.strip() for name in next(table, [])]
        if not {"question", "text", "messages"} & set(head):
            raise BadRequest(f"{file}:1: the first line names the columns, `question` among them.", param="file")
        begun = table.line_num + 1
        for cells in table:
            number, begun = begun, table.line_num + 1
            # The csv module's own limit is one for the whole process, and anybody may have moved it.
            if any(len(cell) > _LONGEST_CELL for cell in cells):
                yield number, ValueError(_LONG)
            elif len(cells) > len(head):
                yield number, ValueError(f"there are {len(cells)} cells for {len(head)} columns")
            elif any(cell.strip() for cell in cells):
                row: dict[str, object] = {name: cell for name, cell in zip(head, cells, strict=False) if cell.strip()}
                for name in ("messages", "params"):
                    if name in row:
                        try:
                            row[name] = msgspec.json.decode(str(row[name]).encode())
                        except msgspec.DecodeError as error:
                            yield number, ValueError(f"`{name}` is not JSON: {error}")
                            break
                else:
                    yield number, row
    except csv.Error as error:
        known = _LONG if "field limit" in str(error) else f"this cannot be read as CSV: {error}."
        yield table.line_num, ValueError(known)


def _handed(given: Mapping[str, object], place: str, ignored: dict[str, None]) -> Handed:
    row: dict[str, object] = {}
    for name, value in given.items():
        if value is None or value == "":
            continue
        known = _SAME.get(name, name)
        if known not in _KNOWN:
            ignored[name] = None
        elif known in row:
            raise ValueError(f"`{name}` and `{known}` say the same thing twice")
        else:
            row[known] = value
    answers = _texts(row, "answers")
    reference = _string(row, "reference") or " or ".join(answers)
    origin = row.get("origin", "file")
    if origin not in get_args(Origin):
        raise ValueError(f"`origin` is one of {', '.join(get_args(Origin))}")
    weight = row.get("weight", 1.0)
    try:
        number = float(weight)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(f"`weight` is {weight!r}, which is no number") from None
    if not 0 < number < 1e12:
        raise ValueError("`weight` must be above 0")
    user, groups = _string(row, "as"), _texts(row, "groups")
    _named("user", (user,) if user else ())
    _named("group", groups)
    return Handed(
        messages=_messages(row),
        reference=reference,
        gold=_texts(row, "gold"),
        answerable=_answerable(row.get("answerable")),
        user=user,
        groups=frozenset(groups),
        topic=_string(row, "topic"),
        why=_string(row, "why"),
        weight=number,
        params=_params(row.get("params", {})),
        origin=origin,  # type: ignore[arg-type]
        source=_string(row, "source") if origin in ("log", "docs") else place,
    )


def _messages(row: Mapping[str, object]) -> tuple[Message, ...]:
    if ("question" in row) == ("messages" in row):
        raise ValueError("an example has either `question` or `messages`")
    if "question" in row:
        question = _string(row, "question")
        if not question.strip():
            raise ValueError("`question` is empty")
        return (text_message("user", question),)
    given = row["messages"]
    if not isinstance(given, list) or not all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in given):
        raise ValueError('`messages` is a list such as [{"role": "user", "content": "…"}]')
    messages = tuple(Message(m["role"], _content(m.get("content")), Raw(msgspec.json.encode(m))) for m in given)
    if not messages or messages[-1].role != "user" or not messages[-1].text.strip():
        raise ValueError("the last of `messages` must be a question of the user's")
    return messages


def _content(content: object) -> str:
    """What a message's `content` says: a text, or the texts among its parts, as the API reads them."""
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
        return "\n".join(part for part in parts if isinstance(part, str))
    if content is None or isinstance(content, str):
        return content or ""
    raise ValueError("the `content` of a message is a text or a list of parts")


def _named(kind: str, names: Iterable[str]) -> None:
    for name in names:
        try:
            principal(f"{kind}:{name}")
        except ValueError:
            raise ValueError(f"{name!r} is no {kind}'s name: it is written without spaces and ':'") from None


def _string(row: Mapping[str, object], name: str) -> str:
    value = row.get(name, "")
    if not isinstance(value, str):
        raise ValueError(f"`{name}` is {value!r}: it must be a text")
    return value


def _texts(row: Mapping[str, object], name: str) -> tuple[str, ...]:
    """A list of texts; in CSV, one text with | between them."""
    value = row.get(name, [])
    if isinstance(value, str):
        value = [part.strip() for part in value.split("|") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise ValueError(f"`{name}` must be a list of texts")
    return tuple(dict.fromkeys(value))


def _answerable(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    said = str(value).strip().lower()
    if said in _YES | _NO:
        return said in _YES
    raise ValueError(f"`answerable` is {value!r}: it must be true or false")


def _params(value: object) -> dict[str, Raw]:
    if not isinstance(value, dict):
        raise ValueError("`params` is an object: the request's other fields")
    return {name: Raw(msgspec.json.encode(field)) for name, field in value.items()}
