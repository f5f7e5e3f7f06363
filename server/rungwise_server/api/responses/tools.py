"""The tools of a request to `/v1/responses`: functions, which the model calls and the client has, and `file_search`,
which this server does itself. All others are refused by name.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Raw, Struct

from rungwise_server.api.responses.wire import encode
from rungwise_server.api.vector_stores.filter import read_filter
from rungwise_server.api.wire import read_at
from rungwise_server.errors import BadRequest
from rungwise_server.filters import Filter

_DEFAULT_RESULTS = 10


class FileSearch(Struct, frozen=True):
    """What a client wants searched. `stores` are names of collections and ids of vector stores."""

    stores: tuple[str, ...]
    limit: int
    filter: Filter | None
    threshold: float


class Tools(Struct, frozen=True):
    """The tools of one request: as the response tells them, and as a chat model gets them."""

    shown: list[Raw]
    choice: Raw
    functions: tuple[Raw, ...] = ()
    """In chat's form."""
    chat_choice: Raw | None = None
    """None where a chat needs not be told."""
    search: FileSearch | None = None


class _Tool(Struct):
    type: str
    name: str | None = None
    parameters: dict[str, Raw] | None = None
    strict: bool | None = None
    description: str | None = None


class _Ranking(Struct, forbid_unknown_fields=True):
    ranker: Literal["auto", "none", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None


class _FileSearch(Struct, forbid_unknown_fields=True):
    type: str
    vector_store_ids: Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=20)]
    filters: Raw = Raw(b"null")
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: _Ranking | None = None


class _Choice(Struct):
    type: str
    name: str | None = None
    mode: Literal["auto", "required"] = "auto"
    tools: list["_Choice"] = []


_TOOL = msgspec.json.Decoder(_Tool)
_FILE_SEARCH = msgspec.json.Decoder(_FileSearch)
_CHOICE = msgspec.json.Decoder(Literal["none", "auto", "required"] | _Choice)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])


def read_tools(tools: Sequence[Raw], choice: Raw | None) -> Tools:
    """The tools and the choice among them.

    Raises:
        BadRequest: a tool that this server does not have, or one that is not of its form; `param` names it.
    """
    shown: list[Raw] = []
    functions: dict[str, Raw] = {}
    search = None
    for place, raw in enumerate(tools):
        where = f"tools[{place}]"
        tool = read_at(_TOOL, raw, where)
        if tool.type == "function":
            if not tool.name:
                raise BadRequest("A function needs 'name'.", param=f"{where}.name", code="missing_required_parameter")
            own = {name: value for name, value in _FIELDS.decode(raw).items() if name != "type"}
            told = {name: value for name, value in own.items() if bytes(value) != b"null"}
            functions[tool.name] = Raw(encode({"type": "function", "function": told}))
            empty = {"name": None, "description": None, "parameters": None, "strict": None}
            shown.append(Raw(encode({"type": "function", **empty, **own})))
        elif tool.type == "file_search":
            if search is not None:
                raise BadRequest("Only one file_search tool is taken; it may have several stores.", param=where)
            search = _file_search(raw, where)
            shown.append(raw)
        else:
            raise BadRequest(
                f"Tools of type {tool.type!r} are not here: there are function and file_search.",
                param=f"{where}.type",
                code="unsupported_value",
            )
    return _chosen(shown, functions, search, choice)


def _chosen(shown: list[Raw], functions: dict[str, Raw], search: FileSearch | None, wire: Raw | None) -> Tools:
    """What is left of the tools by the choice among them."""
    auto = Raw(b'"auto"')
    if wire is None or bytes(wire) == b"null":
        return Tools(shown, auto, tuple(functions.values()), None, search)
    choice = read_at(_CHOICE, wire, "tool_choice")
    told: Raw | None = None
    if choice == "none":
        search, told = None, wire
    elif isinstance(choice, str):
        told = wire
    elif choice.type == "function":
        _known(choice, functions, "tool_choice")
        told = Raw(encode({"type": "function", "function": {"name": choice.name}}))
    elif choice.type == "allowed_tools":
        for place, tool in enumerate(choice.tools):
            _known(tool, functions, f"tool_choice.tools[{place}]", search)
        names = {tool.name for tool in choice.tools}
        functions = {name: function for name, function in functions.items() if name in names}
        search = search if any(tool.type == "file_search" for tool in choice.tools) else None
        told = Raw(encode(choice.mode))
    else:  # the search is made in any case
        _known(choice, functions, "tool_choice", search)
    if told is not None and bytes(told) == b'"required"' and search is not None:
        told = None  # a tool was used already
    return Tools(shown, wire, tuple(functions.values()), told if functions else None, search)


def _known(tool: _Choice, functions: dict[str, Raw], where: str, search: FileSearch | None = None) -> None:
    if (tool.type == "function" and tool.name in functions) or (tool.type == "file_search" and search is not None):
        return
    raise BadRequest(
        f"The tool choice {tool.name or tool.type!r} is not among 'tools'.", param=where, code="invalid_value"
    )


def _file_search(raw: Raw, where: str) -> FileSearch:
    said = read_at(_FILE_SEARCH, raw, where)
    ranking = said.ranking_options or _Ranking()
    filters = None if bytes(said.filters) == b"null" else read_filter(said.filters, f"{where}.filters")
    return FileSearch(
        tuple(dict.fromkeys(said.vector_store_ids)),
        said.max_num_results or _DEFAULT_RESULTS,
        filters,
        ranking.score_threshold or 0.0,
    )
