import re
from pathlib import Path

import pytest

from rungwise_server.config.file import load_settings
from rungwise_server.errors import ConfigError

ROOT = Path(__file__).parents[4]
CANDIDATES = """\
candidates:
  small: {kind: extractive}
  large: {kind: openai_compatible, url: "http://gpu/v1", model: m, fallback: [small]}
"""


def load(folder: Path, text: str, **environ: str) -> None:
    (folder / "rungwise.yaml").write_text(text, encoding="utf-8")
    load_settings(folder / "rungwise.yaml", environ)


def errors(folder: Path, text: str, **environ: str) -> list[str]:
    """The messages, without the folder's name."""
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **environ)
    return [line.removeprefix(f"{folder}/") for line in caught.value.message.splitlines()]


def test_the_file_is_found_by_argument_then_variable_then_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, port in (("rungwise.yaml", 1), ("b.yaml", 2), ("c.yaml", 3)):
        (tmp_path / name).write_text(f"server: {{port: {port}}}")
    monkeypatch.chdir(tmp_path)
    assert load_settings(Path("c.yaml"), {"RUNGWISE_CONFIG": "b.yaml"}).server.port == 3
    assert load_settings(None, {"RUNGWISE_CONFIG": "b.yaml"}).server.port == 2
    assert load_settings(None, {}).server.port == 1
    (tmp_path / "rungwise.yaml").unlink()
    settings = load_settings(None, {})
    assert settings.server.port == 8080
    assert settings.home == Path(".rungwise")


def test_home_is_the_variable_and_base_the_files_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "x.yaml").write_text("")
    settings = load_settings(tmp_path / "sub" / "x.yaml", {"RUNGWISE_HOME": "/var/lib/rungwise"})
    assert settings.base == tmp_path / "sub"
    assert settings.home == Path("/var/lib/rungwise")


@pytest.mark.parametrize("given", ["argument", "variable"])
def test_a_file_that_was_asked_for_must_be_there(tmp_path: Path, given: str) -> None:
    missing = tmp_path / "no.yaml"
    with pytest.raises(ConfigError, match=r"no\.yaml is not there; `rungwise init`"):
        load_settings(missing if given == "argument" else None, {"RUNGWISE_CONFIG": str(missing)})


def test_a_folder_a_giant_and_another_encoding_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(tmp_path, {})
    (tmp_path / "big.yaml").write_text("#" * 1_000_001)
    with pytest.raises(ConfigError, match="larger than 1 MB"):
        load_settings(tmp_path / "big.yaml", {})
    (tmp_path / "latin.yaml").write_bytes("server: {}\n# für\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin.yaml:2: this is not UTF-8"):
        load_settings(tmp_path / "latin.yaml", {})


def test_every_error_is_told_at_once_by_line(tmp_path: Path) -> None:
    told = errors(
        tmp_path,
        """\
server:
  prt: 80
  port: eighty
sources:
  wiki: {path: wiki, readers: everyone}
candidates:
  small: {kind: extractiv}
  large: {kind: openai_compatible, model: m}
workloads:
  support:
    candidates: [small, lrge]
    route:
      rules:
        - {when: {min_chars: 9, max_chars: 3}, use: small}
""",
    )
    assert told == [
        "rungwise.yaml:2: server.prt: no such key; did you mean 'port'?",
        "rungwise.yaml:3: server.port: must be a whole number",
        "rungwise.yaml:5: sources.wiki.readers: must be a list: [everyone]",
        "rungwise.yaml:7: candidates.small.kind: 'extractiv' is not one of openai_compatible, litellm, extractive;"
        " did you mean 'extractive'?",
        "rungwise.yaml:8: candidates.large.url: `openai_compatible` needs `url`",
        "rungwise.yaml:11: workloads.support.candidates[1]: there is no candidate 'lrge'; did you mean 'large'?",
        "rungwise.yaml:14: workloads.support.route.rules[0].when: can never hold: min_chars 9 is above max_chars 3",
    ]


CASES = {
    "not YAML": ("server: [\n", "2: this is not YAML"),
    "a list": ("- a\n", "1: the file must be a mapping of sections"),
    "a word": ("hello\n", "1: the file must be a mapping of sections"),
    "two documents": ("a: 1\n---\nb: 2\n", "2: this is not YAML"),
    "unknown section": ("workload: {}\n", "1: workload: no such key; did you mean 'workloads'?"),
    "home": ("home: /x\n", "1: home: does not stand in the file: set RUNGWISE_HOME"),
    "base": ("base: /x\n", "1: base: does not stand in the file"),
    "twice": ("server: {port: 1, port: 2}\n", "1: server.port: stands here twice; first in line 1"),
    "missing key": ("sources:\n  a: {}\n", "2: sources.a.path: is needed"),
    "bad name": ("collections:\n  a b: {}\n", "2: collections.a b: 'a b' is no name"),
    "number for text": ("sources:\n  a: {path: 7}\n", "2: sources.a.path: must be text: put it in quotes"),
    "section as text": ("server: hello\n", "1: server: must be a section of keys and values"),
    "nothing in a list": ("workloads:\n  a: {candidates: []}\n", "2: workloads.a.candidates: needs at least one"),
    "union": (
        "candidates:\n  a: {kind: extractive, params: {x: [1]}}\n",
        "2: candidates.a.params.x: must be text, a number",
    ),
    "price": (
        "candidates:\n  a: {kind: extractive, price: {input: 1, output: 2, cachd: 1}}\n",
        "did you mean 'cached'?",
    ),
    "reader": ("sources:\n  a: {path: a, readers: ['role:x']}\n", "2: sources.a.readers[0]: 'role:x' is no reader"),
    "grader": (
        "candidates: {a: {kind: extractive}}\nworkloads:\n  w: {candidates: [a], graders: [staff, 'user:']}\n",
        "3: workloads.w.graders[1]: 'user:' is no reader",
    ),
    "dangling collection": (
        "collections: {wiki: {}}\nsources:\n  a: {path: a, collection: wikki}\n",
        "3: sources.a.collection: there is no collection 'wikki'; did you mean 'wiki'?",
    ),
    "near collection": (
        "sources:\n  a: {path: a, collection: wiki}\n"
        "workloads:\n  w: {candidates: [extractive], collections: [wikki]}\n",
        "4: workloads.w.collections[0]: there is no collection 'wikki'; did you mean 'wiki'?",
    ),
    "dangling prompt": (
        "workloads:\n  w: {candidates: [extractive], prompt: groundd}\n",
        "2: workloads.w.prompt: there is no prompts/groundd.md; did you mean 'grounded'?",
    ),
    "prompt outside": (
        "workloads:\n  w: {candidates: [extractive], prompt: ../../etc/passwd}\n",
        "2: workloads.w.prompt: '../../etc/passwd' is no name of a prompt",
    ),
    "dangling fallback": (
        "candidates:\n  a: {kind: extractive, fallback: [bb]}\n",
        "2: candidates.a.fallback[0]: there is no candidate 'bb'",
    ),
    "fallback circle": (
        "candidates:\n  a: {kind: extractive, fallback: [b]}\n  b: {kind: extractive, fallback: [c]}\n"
        "  c: {kind: extractive, fallback: [b]}\n",
        "4: candidates.c.fallback: a circle: b -> c -> b",
    ),
    "same candidate twice": (
        "workloads:\n  w: {candidates: [extractive, extractive]}\n",
        "2: workloads.w.candidates[1]: 'extractive' stands here twice",
    ),
    "one name for two": (
        "candidates:\n  a: {kind: extractive}\nworkloads:\n  a: {candidates: [a]}\n",
        "4: workloads.a: a candidate has this name too",
    ),
    "not in the environment": (
        "workloads:\n  w: {candidates: [openai]}\n",
        "2: workloads.w.candidates[0]: candidate 'openai' is there by itself once OPENAI_API_KEY is set",
    ),
    "litellm without model": ("candidates:\n  a: {kind: litellm}\n", "2: candidates.a.model: `litellm` needs `model`"),
    "no address": (
        "candidates:\n  a: {kind: openai_compatible, url: gpu/v1, model: m}\n",
        "2: candidates.a.url: is no address",
    ),
    "url without effect": ("index: {url: 'http://x'}\n", "1: index.url: has no effect with `kind: embedded`"),
    "onnx without path": ("embedder: {kind: onnx}\n", "1: embedder.path: `onnx` needs `path`"),
    "two keys": (
        "embedder: {kind: openai, url: 'http://x', model: m, api_key_env: A, api_key_file: b}\n",
        "1: embedder.api_key_file: `api_key_env` is given too",
    ),
    "log": ("log: {url: 'mysql://x'}\n", "1: log.url: takes sqlite:///PATH or postgresql://"),
    "log twice": ("log: {url: 'sqlite:///x', url_env: X}\n", "1: log.url_env: `url` is given too"),
}


@pytest.mark.parametrize(("text", "message"), CASES.values(), ids=CASES.keys())
def test_one_mistake_one_message(tmp_path: Path, text: str, message: str) -> None:
    told = errors(tmp_path, text)
    assert len(told) == 1
    assert message in told[0]
    assert re.match(r"rungwise.yaml:\d+: ", told[0])


@pytest.mark.parametrize(
    "line",
    [
        "candidates: {a: {kind: extractive, api_key: HUSH}}",
        "candidates: {a: {kind: extractive, api-key: HUSH}}",
        "candidates: {a: {kind: extractive, headers: {Authorization: Bearer HUSH}}}",
        "candidates: {a: {kind: extractive, headers: {X-API-Key: HUSH}}}",
        "candidates: {a: {kind: openai_compatible, url: 'http://me:HUSH@x/v1', model: m}}",
        "candidates: {a: {kind: openai_compatible, url: 'http://x/v1', model: m, api_key_env: sk-HUSH}}",
        "candidates: {a: {kind: litellm, model: m, params: {api_key: HUSH}}}",
        "log: {url: 'postgresql://me:HUSH@x/db'}",
        "log: {url_env: 'postgresql://me:HUSH@x/db'}",
        "server: {password: HUSH}",
        "token: HUSH",
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(tmp_path: Path, line: str) -> None:
    told = errors(tmp_path, line)
    assert len(told) == 1
    assert "HUSH" not in told[0]
    assert re.search("api_key_env|url_env|environment variable", told[0])


def test_names_are_no_secrets(tmp_path: Path) -> None:
    load(tmp_path, "collections: {password: {}, token: }\nserver: {max_body_mb: 3}\n")


def rules(*lines: str) -> str:
    body = "".join(f"        - {line}\n" for line in lines)
    return f"{CANDIDATES}workloads:\n  w:\n    candidates: [large, small]\n    route:\n      rules:\n{body}"


UNREACHABLE = {
    "after an unconditional one": ("{use: small}", "{when: {evidence: none}, use: small}"),
    "the same condition": ("{when: {groups: [a, b]}, use: small}", "{when: {groups: [b, a]}, use: large}"),
    "a smaller group": ("{when: {groups: [a, b]}, use: small}", "{when: {groups: [a]}, use: small}"),
    "a higher threshold": ("{when: {min_chars: 100}, use: small}", "{when: {min_chars: 200}, use: small}"),
    "a lower limit": ("{when: {max_chars: 100}, use: small}", "{when: {max_chars: 50}, use: small}"),
    "more conditions": ("{when: {users: [u]}, use: small}", "{when: {users: [u], evidence: some}, use: small}"),
}
REACHABLE = {
    "a larger group": ("{when: {groups: [a]}, use: small}", "{when: {groups: [a, b]}, use: small}"),
    "a lower threshold": ("{when: {min_chars: 200}, use: small}", "{when: {min_chars: 100}, use: large}"),
    "no limit": ("{when: {max_chars: 100}, use: small}", "{use: large}"),
    "other evidence": ("{when: {evidence: none}, use: small}", "{when: {evidence: some}, use: large}"),
    "what the first cannot do": ("{use: small}", "{when: {asks: [tools]}, use: large}"),
}


@pytest.mark.parametrize("lines", UNREACHABLE.values(), ids=UNREACHABLE.keys())
def test_a_rule_that_is_never_reached(tmp_path: Path, lines: tuple[str, str]) -> None:
    # Both candidates can do as much, or the second rule is reached by what the first cannot do.
    (told,) = errors(tmp_path, rules(*(line.replace("small", "large") for line in lines)))
    assert told.startswith("rungwise.yaml:10: workloads.w.route.rules[1]: never reached: rule 1 ")


@pytest.mark.parametrize("lines", REACHABLE.values(), ids=REACHABLE.keys())
def test_a_rule_that_may_be_reached(tmp_path: Path, lines: tuple[str, str]) -> None:
    load(tmp_path, rules(*lines))


def test_a_rule_for_another_workloads_candidate(tmp_path: Path) -> None:
    (told,) = errors(tmp_path, rules("{use: lage}"))
    assert "workloads.w.route.rules[0].use: 'lage' is not among the workload's candidates" in told
    assert "did you mean 'large'?" in told


def test_rules_of_a_pinned_workload(tmp_path: Path) -> None:
    text = rules("{use: large}").replace("    route:\n", "    route:\n      policy: pinned\n")
    (told,) = errors(tmp_path, text)
    assert "never reached: `policy: pinned`" in told


def test_a_key_that_is_not_set_is_no_error_of_the_file(tmp_path: Path) -> None:
    load(tmp_path, "candidates: {a: {kind: litellm, model: m, api_key_env: NOT_SET}}\n")


def test_own_prompts_and_ambient_candidates_are_known(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "terse.md").write_text("Be terse.")
    text = "workloads: {w: {candidates: [openai, extractive], prompt: terse, collections: [made-later]}}\n"
    load(tmp_path, text, OPENAI_API_KEY="o")


def test_sections_without_content_are_defaults(tmp_path: Path) -> None:
    load(tmp_path, "server:\nsources:\n  # nothing yet\ncollections:\n  wiki:\n")


@pytest.mark.parametrize("file", ["examples/rungwise.yaml", "deploy/rungwise.docker.yaml"])
def test_the_files_that_come_along_load(file: str) -> None:
    assert load_settings(ROOT / file, {"OPENAI_API_KEY": "o", "VLLM_URL": "http://gpu:8000"}).workloads
