"""What a `judges:` section gets wrong is told with its line."""

from pathlib import Path

import pytest

from rungwise_server.config.file import parse_settings
from rungwise_server.errors import ConfigError

CANDIDATES = """\
candidates:
  big: {kind: openai_compatible, url: "http://127.0.0.1:1/v1", model: m}
judges:
"""


@pytest.mark.parametrize(
    ("judge", "line", "why"),
    [
        ("{kind: prompt}", 4, "`prompt` needs `candidate`: the one that grades; there is big"),
        ("{kind: prompt, candidate: bgi}", 4, "there is no candidate 'bgi'; did you mean 'big'?"),
        ("{kind: prompt, candidate: extractive}", 4, "only quotes passages and cannot grade"),
        ("{kind: prompt, candidate: big, rubric: kind}", 4, "there is no prompts/judge-kind.md: write it"),
        ("{kind: prompt, candidate: big, prompt: ../x}", 4, "is no name of a prompt"),
        ("{kind: prompt, candidate: big, examples: 2}", 4, "there is no prompts/mine.examples.jsonl"),
        ("{kind: pair}", 4, "`pair` needs `candidate`: the one that grades; there is big"),
        ("{kind: pair, candidate: extractive}", 4, "only quotes passages and cannot grade"),
        ("{kind: pair, candidate: big, prompt: two}", 4, "there is no prompts/two.md"),
        ("{kind: pair, candidate: big, examples: 2}", 4, "has no effect with `kind: pair`: it is for `kind: prompt`"),
        ("{kind: pair, candidate: big, threshold: 0.4}", 4, "of two answers one is better, or none"),
        ("{kind: regex}", 4, "`regex` needs `pattern`"),
        ("{kind: regex, pattern: '(a'}", 4, "does not compile: unclosed group"),
        ("{kind: regex, pattern: '(?=a)'}", 4, "look-around"),
        ("{kind: json_schema}", 4, "`json_schema` needs `schema_file`"),
        ("{kind: json_schema, schema_file: no.json}", 4, "no.json cannot be read"),
        ("{kind: json_schema, schema_file: bad.json}", 4, "bad.json is no JSON"),
        ("{kind: exact, candidate: big}", 4, "has no effect with `kind: exact`"),
        ("\n    kind: f1\n    pattern: x", 6, "has no effect with `kind: f1`: it is for `kind: regex`"),
        ("\n    kind: f1\n    threshold: 2", 6, "must be less than or equal to 1"),
        ("\n    kind: f2", 5, "'f2' is not one of"),
        ("", 4, "is needed"),
    ],
)
def test_a_judge_that_could_not_grade(judge: str, line: int, why: str, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError) as wrong:
        parse_settings(f"{CANDIDATES}  mine: {judge}\n", {}, label="r.yaml", base=tmp_path)
    assert f"r.yaml:{line}: judges.mine" in str(wrong.value)
    assert why in str(wrong.value)


def test_judges_that_can(tmp_path: Path) -> None:
    (tmp_path / "form.json").write_text("{}")
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "judge-kind.md").write_text("Is it kind?")
    text = CANDIDATES + (
        "  a: {kind: prompt, candidate: big, rubric: kind}\n  b: {kind: regex, pattern: 'T-[0-9]+', rubric: form}\n"
        "  c: {kind: json_schema, schema_file: form.json}\n  d: {kind: f1, threshold: 0.4}\n"
        "  e: {kind: prompt, candidate: openai}\n  f: {kind: pair, candidate: big, rubric: any}\n"
    )
    settings = parse_settings(text, {"OPENAI_API_KEY": "x"}, label="r.yaml", base=tmp_path)
    assert list(settings.judges) == ["a", "b", "c", "d", "e", "f"]
