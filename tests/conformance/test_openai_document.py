"""What we answer, against OpenAI's published OpenAPI document: version 2.3.0, as the package `openapiopenai` has it in
types. It is older than Responses and than some fields of ours, so it tells what is missing or of another kind.
"""

import importlib
import json
import time
from typing import Any

import httpx
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.conformance("OpenAI's OpenAPI document 2.3.0", "all")]

MESSAGES = [{"role": "user", "content": "How many days of annual leave do I have?"}]


@pytest.fixture
def http(served: Any) -> Any:
    with httpx.Client(
        base_url=f"{served.base}/", headers={"authorization": f"Bearer {served.ana}"}, timeout=60
    ) as client:
        yield client


def _check(name: str, response: httpx.Response, status: int = 200) -> Any:
    assert response.status_code == status, response.text
    _read(name, response.json())
    return response.json()


def _read(name: str, value: Any) -> None:
    models = importlib.import_module("openapiopenai.models")
    # The package mistakes this union's own example for something else.
    for each in (value, *value.get("data", ())) if isinstance(value, dict) else ():
        each.pop("chunking_strategy", None)
    assert getattr(models, name).from_dict(value) is not None


@pytest.mark.parametrize("case", ["docs", "assistant"])
def test_chat(http: httpx.Client, case: str) -> None:
    asked: dict[str, Any] = {"model": case, "messages": MESSAGES}
    _check("CreateChatCompletionResponse", http.post("chat/completions", json=asked))
    streamed = http.post("chat/completions", json={**asked, "stream": True, "stream_options": {"include_usage": True}})
    events = [line[6:] for line in streamed.text.splitlines() if line.startswith("data: ")]
    assert events.pop() == "[DONE]"
    for event in events:
        _read("CreateChatCompletionStreamResponse", json.loads(event))


def test_completions_embeddings_and_models(http: httpx.Client) -> None:
    _check("CreateCompletionResponse", http.post("completions", json={"model": "assistant", "prompt": "Say this"}))
    _check("CreateEmbeddingResponse", http.post("embeddings", json={"model": "default", "input": "a house"}))
    _check("ListModelsResponse", http.get("models"))
    _check("Model", http.get("models/docs"))


def test_errors(http: httpx.Client) -> None:
    _check("ErrorResponse", http.get("models/no-such"), 404)
    _check("ErrorResponse", http.post("chat/completions", json={"model": "docs"}), 400)
    _check("ErrorResponse", http.post("files"), 400)


def test_files_and_vector_stores(http: httpx.Client) -> None:
    upload = {"file": ("note.md", b"# Note\n\nThe gate closes at nine.\n")}
    file = _check("OpenAIFile", http.post("files", files=upload, data={"purpose": "assistants"}))
    _check("ListFilesResponse", http.get("files"))
    store = _check("VectorStoreObject", http.post("vector_stores", json={"name": "notes"}))
    path = f"vector_stores/{store['id']}"
    _check("VectorStoreFileObject", http.post(f"{path}/files", json={"file_id": file["id"]}))
    _check("ListVectorStoreFilesResponse", http.get(f"{path}/files"))
    batch = _check("VectorStoreFileBatchObject", http.post(f"{path}/file_batches", json={"file_ids": [file["id"]]}))
    _check("VectorStoreFileBatchObject", http.get(f"{path}/file_batches/{batch['id']}"))
    _check("ListVectorStoresResponse", http.get("vector_stores"))
    _check("DeleteVectorStoreFileResponse", http.delete(f"{path}/files/{file['id']}"))
    _check("DeleteVectorStoreResponse", http.delete(path))
    _check("DeleteFileResponse", http.delete(f"files/{file['id']}"))


def test_batches(http: httpx.Client) -> None:
    line = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
    lines = json.dumps({**line, "body": {"model": "assistant", "messages": MESSAGES}}).encode()
    upload = {"file": ("in.jsonl", lines)}
    file = _check("OpenAIFile", http.post("files", files=upload, data={"purpose": "batch"}))
    asked = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = _check("Batch", http.post("batches", json=asked))
    _check("ListBatchesResponse", http.get("batches"))
    until = time.monotonic() + 60
    while batch["status"] != "completed" and time.monotonic() < until:
        time.sleep(0.1)  # polling is how the API tells
        batch = _check("Batch", http.get(f"batches/{batch['id']}"))
    assert batch["status"] == "completed", batch["errors"]
    written = http.get(f"files/{batch['output_file_id']}/content").text
    _read("BatchRequestOutput", json.loads(written))
