"""A server as its users run it, for other people's clients, and the table of what each of them saw.

`pytest tests/conformance --conformance FILE` writes the table. Its rows come from the marker
`@pytest.mark.conformance(client, surface)`; a test of several cases has one parameter, named `case`.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rungwise_server.testing.upstream import FakeUpstream, Reply, Seen, echo
from rungwise_server.types import ToolCall

_RUNGWISE = [sys.executable, "-m", "rungwise_pipelines"]
_DOCUMENT = "---\nreaders: [everyone]\n---\n# Leave\n\n## Annual leave\n\nEverybody has 28 days of annual leave.\n"
_CONFIG = """
sources:
  handbook: {{kind: folder, path: handbook, collection: handbook}}
candidates:
  sentences: {{kind: extractive}}
  model: {{kind: openai_compatible, url: "{upstream}", model: echo}}
workloads:
  docs: {{collections: [handbook], candidates: [sentences]}}
  assistant: {{candidates: [model]}}
"""


def _behave(seen: Seen) -> Reply:
    """A model that calls the weather tool when asked for the weather and reads what it brings; says what stands
    between <<< and >>>; and echoes all else.
    """
    messages = seen.json.get("messages") or [{}]
    if messages[-1].get("role") == "tool":
        return Reply(text=f"It is {messages[-1]['content']}.")
    reply = echo(seen)
    if dictated := re.search(r"<<<(.*?)>>>", reply.text, re.DOTALL):
        return Reply(text=dictated[1])
    if seen.json.get("tools") and "weather" in reply.text.lower():
        return Reply(tool_calls=(ToolCall(0, "call_weather", "get_weather", '{"city": "Paris"}'),))
    return reply


class _Upstream:
    """The model's server, in a thread with a loop of its own: clients here block."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.fake = FakeUpstream(_behave)
        asyncio.run_coroutine_threadsafe(self.fake.start(), self._loop).result(10)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self.fake.stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@dataclass(frozen=True)
class Served:
    """A running server: its base URL with `/v1`, the keys of two users, and where it stands."""

    base: str
    ana: str
    bo: str
    place: Path

    def environ(self, key: str | None = None) -> dict[str, str]:
        """For clients that take both from the environment."""
        return {**_environ(self.place), "BASE": self.base, "KEY": key or self.ana}


def _environ(place: Path) -> dict[str, str]:
    ours = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "VLLM_URL", "RUNGWISE_CONFIG"}
    return {**{k: v for k, v in os.environ.items() if k not in ours}, "RUNGWISE_HOME": str(place / "home")}


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    place = tmp_path_factory.mktemp("conformance")
    (place / "handbook").mkdir()
    (place / "handbook" / "leave.md").write_text(_DOCUMENT, encoding="utf-8")
    upstream = _Upstream()
    (place / "rungwise.yaml").write_text(_CONFIG.format(upstream=upstream.fake.url), encoding="utf-8")

    def rungwise(*words: str) -> str:
        done = subprocess.run(
            [*_RUNGWISE, *words],
            cwd=place,
            env=_environ(place),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    rungwise("ingest", "--json")
    ana, bo = (json.loads(rungwise("keys", "create", "--user", user, "--json"))["key"] for user in ("ana", "bo"))
    with (place / "serve.err").open("w") as errors:
        process = subprocess.Popen(
            [*_RUNGWISE, "serve", "--port", "0", "--json"],
            cwd=place,
            env=_environ(place),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said, (place / "serve.err").read_text()
        yield Served(json.loads(said)["url"] + "/v1", ana, bo, place)
    finally:
        process.terminate()
        process.wait(30)
        upstream.end()


# The table.


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--conformance", metavar="FILE", help="write the table of clients and surfaces there")


def pytest_configure(config: pytest.Config) -> None:
    rows: _Rows = defaultdict(list)
    config.stash[_ROWS] = rows


_Rows = defaultdict[tuple[str, str], list[tuple[str, str]]]
_ROWS = pytest.StashKey[_Rows]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("conformance")
    if marker is not None and (call.when == "call" or report.outcome != "passed"):
        client, surface = marker.args
        case = getattr(item, "callspec", None)
        name = case.params.get("case") if case else None
        name = name or item.name.removeprefix("test_").replace("_", " ")
        head, colon, rest = name.partition(": ")
        item.config.stash[_ROWS][client, head if colon else surface].append((rest if colon else name, report.outcome))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    path = session.config.getoption("--conformance")
    if not path:
        return
    lines = ["| client | surface | cases | what was done |", "|---|---|---|---|"]
    for (client, surface), cases in sorted(session.config.stash[_ROWS].items()):
        passed = sum(outcome == "passed" for _, outcome in cases)
        told = "; ".join(name if outcome == "passed" else f"**{outcome}: {name}**" for name, outcome in cases)
        lines.append(f"| {client} | {surface} | {passed}/{len(cases)} | {told} |")
    head = (Path(__file__).parent / "conformance.md").read_text(encoding="utf-8")
    Path(path).write_text(f"{head}\n" + "\n".join(lines) + "\n", encoding="utf-8")
