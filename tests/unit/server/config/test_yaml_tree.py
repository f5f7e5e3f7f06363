from collections.abc import Mapping

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rungwise_server.config.yaml_tree import read_yaml

KEYS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


@settings(deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_a_yaml_writer_wrote_is_read_back(data: Mapping[str, object]) -> None:
    text = yaml.safe_dump(data, allow_unicode=True)
    tree = read_yaml(text)
    assert tree.faults == []
    assert tree.data == yaml.safe_load(text)


@settings(deadline=None)
@given(st.text(max_size=100) | st.text("[]{}:,-&*!<>|?'\"#%@`ab1 \n\t", max_size=60))
def test_what_has_no_fault_is_yaml(text: str) -> None:
    if not read_yaml(text).faults:
        yaml.compose(text, Loader=yaml.SafeLoader)


def test_lines_of_keys_and_items() -> None:
    lines = read_yaml("a:\n  b: 1\n  c:\n    - x\n    - y: 2\n").lines
    assert lines[("a",)] == 1
    assert lines[("a", "b")] == 2
    assert lines[("a", "c", 0)] == 4
    assert lines[("a", "c", 1, "y")] == 5


def test_keys_are_the_words_as_written() -> None:
    assert read_yaml("no: 1\n8080: 2\n").data == {"no": 1, "8080": 2}


def test_anchors_and_merge_keys() -> None:
    tree = read_yaml("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: [*a]\n")
    assert tree.faults == []
    assert tree.data == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}]}


def test_duplicate_key_names_both_lines() -> None:
    (fault,) = read_yaml("a: 1\nb: 2\na: 3\n").faults
    assert (fault.line, fault.path) == (3, ("a",))
    assert "first in line 1" in fault.message


def test_anchor_inside_itself() -> None:
    (fault,) = read_yaml("a: &a\n  b: *a\n").faults
    assert "contain itself" in fault.message


def test_aliases_do_not_explode() -> None:
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    text += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    (fault,) = read_yaml(text).faults
    assert "more than" in fault.message


def test_deep_nesting_is_a_fault() -> None:
    assert read_yaml("[" * 100_000).faults


def test_python_tags_are_refused() -> None:
    (fault,) = read_yaml("a: 1\nb: !!python/object/apply:os.system [x]\nc: !boom x\n").faults
    assert fault.line == 3
