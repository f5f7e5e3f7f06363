"""A chosen setting as a change of `rungwise.yaml`, for a person to review: nothing here writes a file.

The file is changed as text, at the keys that differ, so that its comments and its order stay. The changed text is then
read as configuration again; where that does not come to the chosen setting, or there is no file, the YAML to add is
given in place of a diff.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode

from rungwise_pipelines.sweep.grid import Setting
from rungwise_server.config.file import parse_settings
from rungwise_server.config.settings import Settings, WorkloadSettings
from rungwise_server.errors import ConfigError
from rungwise_server.prompt import load_prompt

KEYS = ("collections", "candidates", "prompt", "passages", "route")
"""What a setting may change of a workload."""

_Path = tuple[str, str, str]


def change_of(setting: Setting, settings: Settings, name: str, file: Path | None, environ: Mapping[str, str]) -> str:
    """A unified diff that makes `setting` the configuration of the workload `name`, a new prompt's file included; where
    that cannot be made, the YAML to add, which a comment says. Empty where it is configured already.
    """
    parts: list[str] = []
    if setting.prompt is not None and not _on_file(setting.prompt.name, setting.prompt.id, settings):
        text = [f"{line}\n" for line in setting.prompt.text.splitlines()]
        parts += difflib.unified_diff([], text, "/dev/null", f"b/prompts/{setting.prompt.name}.md")
    wanted, today = _said(setting.workload), _said(settings.workloads[name])
    changes: dict[_Path, object] = {("workloads", name, key): wanted[key] for key in KEYS if wanted[key] != today[key]}
    if setting.prompt is not None:
        # A candidate's own prompt would come before its workload's.
        own = (who for who in setting.workload.candidates if settings.candidates[who].prompt)
        changes |= {("candidates", who, "prompt"): setting.prompt.name for who in own}
    if changes:
        whole = {key: value for key, value in wanted.items() if value}
        parts.append(_diff(changes, whole, file, environ) or _by_hand(changes, whole, name, file))
    return "".join(parts)


def _diff(
    changes: Mapping[_Path, object], whole: Mapping[str, object], file: Path | None, environ: Mapping[str, str]
) -> str:
    """Empty where there is no file, or it cannot be changed so."""
    if file is None or not file.is_file():
        return ""
    before = after = file.read_text(encoding="utf-8-sig")
    for path, value in changes.items():
        after = _with(after, path, value, whole)
    if not _says(after, changes, file, environ):
        return ""
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{file.name}", f"b/{file.name}"
    )
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _by_hand(changes: Mapping[_Path, object], whole: Mapping[str, object], name: str, file: Path | None) -> str:
    tree: dict[str, dict[str, dict[str, object]]] = {"workloads": {name: dict(whole)}}
    for section, who, key in changes:
        if section == "candidates":
            tree.setdefault(section, {}).setdefault(who, {})[key] = changes[section, who, key]
    where = f"To be written into {file.name} by hand" if file is not None else "To be added to rungwise.yaml"
    return f"# {where}:\n{_block(tree, 0)}"


def _says(text: str, changes: Mapping[_Path, object], file: Path, environ: Mapping[str, str]) -> bool:
    """Whether the file would be valid, and say what it is to say."""
    try:
        read = parse_settings(text, environ, label=file.name, base=file.resolve().parent)
    except ConfigError as error:
        # A prompt that comes with this very change is not there yet; nothing else may be wrong.
        return all(": there is no prompts/" in line for line in error.message.splitlines())
    return all(
        (_said(read.workloads[name])[key] if section == "workloads" else read.candidates[name].prompt) == value
        for (section, name, key), value in changes.items()
    )


def _with(text: str, path: _Path, value: object, whole: Mapping[str, object]) -> str:
    """`text` with `value` at `path`: in place of what stands there, else in a new line. A workload that is not there
    becomes `whole`.
    """
    at: Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    depth = 0
    while depth < len(path) and (found := _item(at, path[depth])) is not None:
        at, depth = found, depth + 1
    if depth == len(path):
        assert at is not None
        return _replaced(text, at, value)
    new = path[0] == "workloads" and depth < 2
    rest: object = dict(whole) if new else value
    for key in reversed(path[depth + 1 : 2 if new else 3]):
        rest = {key: rest}
    return _added(text, at, path[depth], rest)


def _item(node: Node | None, key: str) -> Node | None:
    pairs: list[tuple[Node, Node]] = node.value if isinstance(node, MappingNode) else []
    return next((item for named, item in pairs if isinstance(named, ScalarNode) and named.value == key), None)


def _replaced(text: str, node: Node, value: object) -> str:
    start = node.start_mark.index
    old = text[start : node.end_mark.index]
    # A block ends where the next token begins: what stands between, comments too, is not of the value.
    while "\n" in old and old.rstrip().rpartition("\n")[2].lstrip().startswith("#"):
        old = old.rstrip().rpartition("\n")[0]
    end = start + len(old.rstrip())
    before = text[:start]
    if before.rstrip(" ").endswith("\n"):
        before = before.rstrip() + " "  # the block began on a line of its own
    return before + _inline(value) + text[end:]


def _added(text: str, within: Node | None, key: str, value: object) -> str:
    if isinstance(within, MappingNode) and within.flow_style:
        at = within.end_mark.index - 1
        return f"{text[:at].rstrip()}{', ' if within.value else ''}{key}: {_inline(value)}{text[at:]}"
    if isinstance(within, MappingNode) and within.value and (column := within.value[0][0].start_mark.column):
        at = text.rfind("\n", 0, within.value[0][0].start_mark.index) + 1
        return f"{text[:at]}{_block({key: value}, column)}{text[at:]}"
    if isinstance(within, ScalarNode):  # a section whose every line is commented out
        at = text.find("\n", within.start_mark.index) + 1 or len(text)
        return f"{text[:at]}{_block({key: value}, 2)}{text[at:]}"
    return text + ("" if not text or text.endswith("\n") else "\n") + _block({key: value}, 0)


def _block(value: Mapping[str, object], column: int) -> str:
    """A line a key, down to what a workload or a candidate says."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and key != "route":
            lines.append(f"{' ' * column}{_inline(key)}:\n{_block(item, column + 2)}")
        else:
            lines.append(f"{' ' * column}{_inline(key)}: {_inline(item)}\n")
    return "".join(lines)


def _inline(value: object) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, allow_unicode=True, width=10_000)
    return dumped.removesuffix("...\n").strip()


def _said(workload: WorkloadSettings) -> dict[str, object]:
    said = workload.model_dump(mode="json", include=set(KEYS) - {"route"})
    route = workload.route.model_dump(mode="json", exclude_defaults=True)
    return {key: route if key == "route" else said[key] for key in KEYS}


def _on_file(name: str, id: str, settings: Settings) -> bool:
    try:
        return load_prompt(name, settings.base / "prompts").id == id
    except ConfigError:
        return False
