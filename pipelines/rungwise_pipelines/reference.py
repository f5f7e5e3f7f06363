"""Writes `docs/reference` from the code: `python -m rungwise_pipelines.reference [--check] [FOLDER]`.

With `--check` nothing is written; exit code 1 says that a file is not what the code says.
"""

import builtins
import collections.abc
import json
import subprocess
import sys
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import get_args, get_origin

from pydantic.fields import FieldInfo

from rungwise_server.app import create_app
from rungwise_server.config.defaults import AMBIENT
from rungwise_server.config.file import OUTSIDE
from rungwise_server.config.settings import Section, Settings
from rungwise_server.testing.serving import fake_parts

MADE = "<!-- Made from the code by `make docs`; a test holds it true. -->\n"
WORDS: Mapping[type, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def pages() -> dict[str, str]:
    """Every page of the reference by its file name."""
    return {"cli.md": cli_page(), "config.md": config_page(), "openapi.json": openapi_page()}


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or with `--check` compare them."""
    folder = Path(next((word for word in arguments if not word.startswith("-")), "docs/reference"))
    stale = []
    for name, text in pages().items():
        file = folder / name
        if file.exists() and file.read_text(encoding="utf-8") == text:
            continue
        stale.append(str(file))
        if "--check" not in arguments:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        sys.stderr.write(f"{', '.join(stale)}: not what the code says; `make docs` writes it anew\n")
        return 1
    return 0


def cli_page() -> str:
    """Every verb with its arguments and options, as typer itself writes them down."""
    command = [sys.executable, "-m", "typer", "rungwise_pipelines.cli", "utils", "docs", "--name", "rungwise"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    codes = "Exit codes: 0 done, 1 failed (standard error says what to do), 2 wrong usage, 130 interrupted."
    return text.replace("# `rungwise`\n", f"# Command line\n\n{MADE}\n{codes}\n", 1).rstrip() + "\n"


def config_page() -> str:
    """Every key of rungwise.yaml, section by section."""
    lines = [
        "# rungwise.yaml",
        "",
        MADE,
        "`rungwise init` writes a commented file. It is found by `--config`, else the variable RUNGWISE_CONFIG, else",
        "as `rungwise.yaml` in the current folder; without any, the defaults serve. It is validated whole: an unknown",
        "key, a name that leads nowhere and a rule that can never be reached are errors, each with its line. Secrets",
        "never stand in it. Relative paths start from its folder. State lives in RUNGWISE_HOME, else `.rungwise`.",
        "",
        *_section("", Settings),
        "## Candidates that appear by themselves",
        "",
        "Each but `extractive` falls back to it. OPENAI_MODEL, OPENAI_BASE_URL, ANTHROPIC_MODEL, VLLM_MODEL and",
        "VLLM_API_KEY say more; without VLLM_MODEL the first model that the server lists is asked.",
        "",
        "| name | with |",
        "|---|---|",
        *(
            f"| `{name}` | {f'`{variable}` in the environment' if variable else 'always'} |"
            for name, variable in AMBIENT.items()
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def openapi_page() -> str:
    """The HTTP API as OpenAPI 3.1."""
    app = create_app(fake_parts())
    return json.dumps(app.rest.openapi(), indent=2, ensure_ascii=False) + "\n"


def _section(path: str, section: type[Section]) -> Iterator[str]:
    if path:
        yield f"## `{path}`"
        yield ""
        yield str(section.__doc__).strip()
        yield ""
    below: list[tuple[str, type[Section]]] = []
    yield "| key | takes | default | meaning |"
    yield "|---|---|---|---|"
    for name, field in section.model_fields.items():
        if section is Settings and name in OUTSIDE:
            continue
        inner = _inner(field.annotation)
        meaning = field.description or str(inner.__doc__ if inner else "").strip()
        yield f"| `{name}` | {_cell(_takes(field.annotation))} | {_default(field)} | {_cell(meaning)} |"
        if inner:
            below.append((f"{path}.{name}".lstrip(".") + _step(field.annotation), inner))
    yield ""
    for deeper, inner in below:
        yield from _section(deeper, inner)


def _step(kind: object) -> str:
    origin = get_origin(kind)
    return "[]" if origin is tuple else ".NAME" if origin is Mapping else ""


def _parts(kind: object) -> list[object]:
    """What a list, a mapping (its values) or a choice is made of."""
    parts = [part for part in get_args(kind) if part not in (Ellipsis, type(None))]
    return parts[1:] if get_origin(kind) is Mapping else parts


def _inner(kind: object) -> type[Section] | None:
    """The section that a key leads to: itself, in a list or by name."""
    if isinstance(kind, type) and issubclass(kind, Section):
        return kind
    return next((found for part in _parts(kind) if (found := _inner(part))), None)


def _takes(kind: object) -> str:
    parts = [_takes(part) for part in _parts(kind)]
    match get_origin(kind):
        case typing.Literal:
            return " or ".join(f"`{value}`" for value in get_args(kind) if value)
        case typing.Annotated:
            return "name"
        case collections.abc.Mapping:
            return f"{parts[0]} by name"
        case builtins.tuple:
            return f"list of {parts[0]}"
        case None:
            return WORDS.get(kind, "section") if isinstance(kind, type) else "text"
        case _:
            return " or ".join(dict.fromkeys(parts))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.default
    if value is None or isinstance(value, Section) or value in ("", (), {}):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
