"""From five graded answers to a decision, in real processes and with no language model at all: questions asked over
HTTP, an eval set out of the log, grades by one key each, a judge's certificate, a sweep, and the ledger.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from rungwise_pipelines.testing import Place

DOCUMENTS = {
    "staff/leave.md": "# Leave\n\n## Annual leave\n\n28 days of annual leave a year for everybody in the company.\n\n"
    "## Parental leave\n\nParental leave is 18 weeks on full pay for every parent.\n",
    "staff/travel.md": "# Travel\n\n## Hotels\n\nThe limit for a hotel night is 120 pounds.\n\n"
    "## Trains\n\nTrains are booked in second class through the travel desk.\n",
    "staff/office.md": "# Office\n\n## Parking\n\nThe car park closes at 22:00 on working days.\n\n"
    "## Visitors\n\nVisitors sign in at the reception desk and wear a badge.\n",
}
QUESTIONS = {
    "How many days of annual leave do I have?": "28 days",
    "How long is parental leave?": "18 weeks",
    "What is the limit for a hotel night?": "120 pounds",
    "In which class are trains booked?": "second class",
    "When does the car park close?": "22:00",
    "Where do visitors sign in?": "reception",
    "Who won the football world cup in 1966?": "",
}
CONFIG = """
sources:
  staff: {path: staff, readers: [staff]}
candidates:
  extractive: {kind: extractive}
workloads:
  help: {collections: [default], candidates: [extractive], graders: [reviewers]}
"""


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path, CONFIG, DOCUMENTS)
    yield made
    made.close()


def test_from_five_grades_to_the_ledger(place: Place) -> None:
    place.run("ingest")
    ana = place.json("keys", "create", "--user", "ana", "--group", "staff")["key"]
    kim = place.json("keys", "create", "--user", "kim", "--group", "staff", "--group", "reviewers")["key"]
    bo = place.json("keys", "create", "--user", "bo", "--group", "reviewers")["key"]
    server = place.serve()
    client = OpenAI(base_url=f"{server.url}/v1", api_key=ana, max_retries=0)
    said = {}
    for question in QUESTIONS:
        answer = client.chat.completions.create(model="help", messages=[{"role": "user", "content": question}])
        said[answer.id] = answer.choices[0].message.content or ""
    wrong = next(id for id, text in said.items() if "120" in text)
    correction = {"inference_id": wrong, "kind": "correction", "text": "120 pounds a night"}
    posted = httpx.post(f"{server.url}/v1/feedback", json=correction, headers={"x-api-key": ana})
    assert posted.status_code == 201

    # Over HTTP a grader sees what they may read: Kim is staff, Bo is not, and Ana is no grader.
    def waiting(key: str) -> httpx.Response:
        return httpx.get(f"{server.url}/v1/grades/next?workload=help&limit=20", headers={"x-api-key": key})

    shown = waiting(kim).json()["data"]
    assert {turn["answers"][0]["inference_id"] for turn in shown} == set(said)
    assert all("28 days" not in json.dumps(turn) for turn in waiting(bo).json()["data"])
    assert waiting(ana).status_code == 403
    for turn in shown[:2]:
        grade = {"inference_id": turn["answers"][0]["inference_id"], "passed": True}
        assert httpx.post(f"{server.url}/v1/grades", json=grade, headers={"x-api-key": kim}).status_code == 201

    # Three more in the terminal: after five, there is an interval.
    place.run("eval", "grade", "help", "--user", "kim", given="p\np\nf\nq\n")
    summary = httpx.get(f"{server.url}/v1/grades/summary?workload=help", headers={"x-api-key": kim}).json()
    (standing,) = summary["candidates"]
    assert standing["graded"] == 5
    assert standing["quality"]["estimate"] == pytest.approx(0.8)
    assert 0.1 < standing["quality"]["low"] < 0.8 < standing["quality"]["high"] < 1

    # An eval set out of the log. Each question is asked as Ana, and the correction is its reference.
    place.run("eval", "new", "help", "--from-log", "7")
    exported = [json.loads(line) for line in place.run("eval", "export", "help").splitlines()]
    assert {line["question"] for line in exported} == set(QUESTIONS)
    assert [line["reference"] for line in exported if line.get("reference")] == ["120 pounds a night"]
    lines = [{**line, "reference": QUESTIONS[line["question"]] or None} for line in exported]
    place.write("with-references.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    place.run("eval", "add", "help", "with-references.jsonl")
    ran = place.json("eval", "run", "help", "--candidates", "extractive", "--judges", "contains,groundedness")
    (part,) = ran["parts"]
    (standing,) = part["standings"]
    assert standing["answered"] == len(QUESTIONS)
    again = place.json(
        "eval", "run", "help", "--candidates", "extractive", "--judges", "contains,groundedness", "--yes"
    )
    assert again["run"] == ran["run"]

    # A judge held against the people, and what it does not know yet.
    place.run("eval", "grade", "help", "--set", "help", "--user", "kim", given="p\n" * 5 + "f\nq\n")
    certified = place.json("judge", "certify", "contains", "--eval", "help")
    assert certified["counts"]["human"] >= 6
    assert 0 <= certified["quality"]["low"] <= certified["quality"]["estimate"] <= certified["quality"]["high"] <= 1
    (standing,) = [one for one in place.json("judge", "list") if one["judge"] == "contains"]
    assert standing["certificate"] == "valid"

    # The sweep names a setting and changes nothing; the ledger says where the workload stands.
    before = (place.folder / "rungwise.yaml").read_text()
    swept = place.json("sweep", "help", "--axis", "passages=2,6", "--yes")
    assert len(swept["settings"]) == 2
    assert (place.folder / "rungwise.yaml").read_text() == before
    (page,) = place.json("ledger", "help")
    assert page["workload"] == "help"
    assert page["traffic"]["requests"] == len(QUESTIONS)
    assert "people" in json.dumps(page["quality"])
    admin = place.json("keys", "create", "--user", "root", "--admin")["key"]
    served = httpx.get(f"{server.url}/v1/ledger/help", headers={"x-api-key": admin})
    assert served.status_code == 200
    assert served.json()["traffic"]["requests"] == len(QUESTIONS)
    assert httpx.get(f"{server.url}/v1/ledger", headers={"x-api-key": kim}).status_code == 403
    assert server.end() == 0
