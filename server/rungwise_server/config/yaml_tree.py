"""YAML as plain data, with the line that every key and item stands on; duplicate keys are faults, not lost values."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import yaml
from yaml.constructor import SafeConstructor
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

KeyPath = tuple[str | int, ...]
"""Where something stands: `("workloads", "support", "candidates", 0)`."""

MERGE = "tag:yaml.org,2002:merge"
MAX_NODES = 50_000


class Fault(NamedTuple):
    """One thing wrong with the file. `line` counts from 1; 0 where there is none."""

    line: int
    path: KeyPath
    message: str


class Tree(NamedTuple):
    """A file's data (mappings, lists, scalars), the line of every path in it, and what was wrong with it."""

    data: object
    lines: dict[KeyPath, int]
    faults: list[Fault]


def read_yaml(text: str) -> Tree:
    """Parse one YAML document. Anchors and merge keys work; Python tags, self-reference and bombs are faults."""
    tree = Tree({}, {(): 1}, [])
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = {} if root is None else _Reader(tree).value(root, (), frozenset())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        tree.faults.append(
            Fault(mark.line + 1 if mark else 0, (), f"this is not YAML: {error.problem or error.context}")
        )
    except (yaml.YAMLError, _TooLarge) as error:
        tree.faults.append(Fault(0, (), f"this is not YAML that can be read: {str(error).splitlines()[0]}"))
    except RecursionError:
        tree.faults.append(Fault(0, (), "this is nested too deeply"))
    else:
        return tree._replace(data=data)
    return tree


class _TooLarge(Exception):
    pass


class _Reader:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._scalars = SafeConstructor()
        self._seen = 0

    def value(self, node: Node, path: KeyPath, within: frozenset[int]) -> object:
        """The node's value. `within` are the nodes around it, so that an anchor inside itself is found."""
        self._seen += 1
        if self._seen > MAX_NODES:
            raise _TooLarge(f"more than {MAX_NODES} values, aliases counted each time")
        if id(node) in within:
            self._fault(node, path, "an anchor may not contain itself")
            return None
        within |= {id(node)}
        if isinstance(node, MappingNode):
            return self._mapping(node, path, within)
        if isinstance(node, SequenceNode):
            items: list[object] = []
            for index, item in enumerate(cast("list[Node]", node.value)):
                self._tree.lines[(*path, index)] = item.start_mark.line + 1
                items.append(self.value(item, (*path, index), within))
            return items
        try:
            return cast("object", self._scalars.construct_object(node))
        except (ValueError, yaml.YAMLError) as error:
            problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
            self._fault(node, path, f"cannot be read: {problem}")
            return None

    def _mapping(self, node: MappingNode, path: KeyPath, within: frozenset[int]) -> dict[str, object]:
        own: dict[str, object] = {}
        merged: dict[str, object] = {}
        pairs = cast("list[tuple[Node, Node]]", node.value)
        for key, item in pairs:
            if key.tag == MERGE:
                for part in self._merge(item):
                    merged = self._merged(part, path, within) | merged
        for key, item in pairs:
            if key.tag == MERGE:
                continue
            if not isinstance(key, ScalarNode):
                self._fault(key, path, "a key must be a plain word")
                continue
            # The key as written: `no:` and `8080:` are names here, not a boolean and a number.
            name = str(key.value)
            line = key.start_mark.line + 1
            if name in own:
                first = self._tree.lines[(*path, name)]
                self._tree.faults.append(Fault(line, (*path, name), f"stands here twice; first in line {first}"))
                continue
            self._tree.lines[(*path, name)] = line
            own[name] = self.value(item, (*path, name), within)
        return merged | own

    def _merge(self, node: Node) -> Iterator[Node]:
        yield from cast("list[Node]", node.value) if isinstance(node, SequenceNode) else (node,)

    def _merged(self, node: Node, path: KeyPath, within: frozenset[int]) -> dict[str, object]:
        value = self.value(node, path, within)
        if isinstance(value, dict):
            return cast("dict[str, object]", value)
        self._fault(node, path, "`<<` takes a mapping, or a list of them")
        return {}

    def _fault(self, node: Node, path: KeyPath, message: str) -> None:
        self._tree.faults.append(Fault(node.start_mark.line + 1, path, message))
