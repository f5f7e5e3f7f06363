"""Thousands of requests that schemathesis makes from our own OpenAPI document, right ones and wrong ones.

No answer may be a 5xx; each has a status, a content type and a body that the document knows. Every URL refuses methods
that it does not have, and what the document forbids. `RUNGWISE_CASES=100` makes a hundred random requests for each
operation instead of a few, beside those that cover the document's every corner.
"""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from rungwise_server.app import create_app
from rungwise_server.testing.engine import small_engine
from rungwise_server.testing.models import ScriptedModel
from rungwise_server.testing.retriever import passage
from rungwise_server.testing.serving import fake_parts, listening

PASSAGES = [passage("Annual leave is 25 days.", "everyone", number=1, title="Handbook")]
HOOKS = '''
import schemathesis

@schemathesis.hook
def map_body(context, body):
    """A model that is there, so that more than its name is looked at."""
    if isinstance(body, dict) and isinstance(body.get("model"), str) and body["model"]:
        return {**body, "model": "default"}
    return body
'''
NOT_HELD = "positive_data_acceptance"  # rules between fields, and names that are not there, stand in no schema


async def moderate(body: bytes) -> bytes:
    return b'{"id": "modr-1", "model": "m", "results": []}'


@pytest.mark.slow
async def test_no_request_that_the_document_leads_to_fails(tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text(HOOKS, encoding="utf-8")
    parts = fake_parts(
        small_engine(ScriptedModel(["You get ", "25 days [1]."]), passages=PASSAGES),
        moderate=moderate,
        collections={"default": "Handbook"},
    )
    async with listening(create_app(parts, max_body=1_000_000)) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json", "--phases", "coverage,fuzzing"),
            *("--max-examples", os.environ.get("RUNGWISE_CASES", "5"), "--seed", "1", "--no-color"),
            *("--continue-on-failure", "--warnings", "off", "--exclude-checks", NOT_HELD),
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONPATH": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
    report = said.decode()
    assert process.returncode == 0, report
    assert "Tested: " in report, report
