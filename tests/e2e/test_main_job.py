"""The main job as its users do it, in real processes: ingest, serve, ask, look at the source, say what was wrong.

A key for finance, a killed server, and documents that arrive while it serves are part of it.
"""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from rungwise_pipelines.testing import Place

DOCUMENTS = {
    "public/leave.md": "---\nreaders: [everyone]\n---\n# Leave\n\n## Annual leave\n\n28 days for everybody.\n",
    "finance/limits.md": "# Limits\n\nThe head of finance approves every invoice above 7,300 pounds.\n",
}
CONFIG = """
sources:
  public: {kind: folder, path: public}
  finance: {kind: folder, path: finance, readers: [finance]}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, CONFIG, DOCUMENTS)
    yield made
    made.close()


def test_from_documents_to_an_answer_to_feedback(place: Place) -> None:
    report = place.json("ingest")
    assert report["sources"][0]["new"] == 1
    secret = place.json("keys", "create", "--user", "ana", "--group", "finance")["key"]
    outsider = place.json("keys", "create", "--user", "bo")["key"]
    first = place.serve()
    base = first.url
    client = OpenAI(base_url=f"{base}/v1", api_key=secret, max_retries=0)

    # An answer in the document's own words, with the place it stands at.
    question = "How many days of annual leave do I have?"
    answer = client.chat.completions.create(model="default", messages=[{"role": "user", "content": question}])
    message = answer.choices[0].message
    assert "28 days" in (message.content or "")
    assert message.annotations
    source = httpx.get(message.annotations[0].url_citation.url, headers={"x-api-key": secret}).json()
    assert source["document"]["id"] == "leave.md"
    assert "Annual leave" in source["place"]["headings"]
    text = DOCUMENTS["public/leave.md"].split("---\n", 2)[2]
    assert source["text"] in text

    # What finance may read, nobody else does.
    limit = [{"role": "user", "content": "Who approves invoices above 7,300 pounds?"}]
    assert "head of finance" in (
        client.chat.completions.create(model="default", messages=limit).choices[0].message.content or ""  # type: ignore[arg-type]
    )
    other = OpenAI(base_url=f"{base}/v1", api_key=outsider, max_retries=0)
    hidden = other.chat.completions.create(model="default", messages=limit)  # type: ignore[arg-type]
    assert "finance" not in (hidden.choices[0].message.content or "")
    assert not hidden.choices[0].message.annotations

    # A document that arrives while the server has the index open.
    place.write("public/parking.md", "---\nreaders: [everyone]\n---\n# Parking\n\nThe car park closes at 22:00.\n")
    place.run("ingest", "public")
    parking = "When does the car park close?"
    found = other.chat.completions.create(model="default", messages=[{"role": "user", "content": parking}])
    assert "22:00" in (found.choices[0].message.content or "")

    # Feedback, metrics, readiness.
    corrected = {"inference_id": answer.id, "kind": "correction", "text": "28 days, plus public holidays."}
    assert httpx.post(f"{base}/v1/feedback", json=corrected, headers={"x-api-key": secret}).status_code == 201
    ready = httpx.get(f"{base}/readyz").json()
    assert ready["ready"] is True
    assert "default: 3 passages" in ready["parts"]["index"]
    counted = re.search(r'^rungwise_requests_total\{.*outcome="ok".*\} (\S+)$', httpx.get(f"{base}/metrics").text, re.M)
    assert counted is not None
    assert float(counted[1]) == 4
    assert httpx.get(f"{base}/livez").text == "ok"

    # Killed; what it said and what was said of it is there, and the next server serves.
    first.end(signal.SIGKILL)
    second = place.serve()
    kept = [json.loads(line) for line in place.run("feedback", "list", "--json").splitlines()]
    assert [(row["kind"], row["inference_id"]) for row in kept] == [("correction", answer.id)]
    exported = place.folder / "feedback.jsonl"
    place.run("feedback", "export", "-o", str(exported))
    (row,) = [json.loads(line) for line in exported.read_text(encoding="utf-8").splitlines()]
    assert question in json.dumps(row)
    assert "plus public holidays" in json.dumps(row)
    again = OpenAI(base_url=f"{second.url}/v1", api_key=secret, max_retries=0)
    assert again.models.list().data[0].id == "default"
    assert second.end() == 0
