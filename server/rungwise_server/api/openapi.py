"""What the OpenAPI document says beyond what FastAPI knows: the bare ASGI endpoints, the error shape, signing in.

Each bare endpoint describes itself in `api/<surface>/openapi.py`: its operation object, made by `operation`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI

_ERROR = {
    "description": "An error in OpenAI's shape.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["message", "type", "param", "code"],
                        "properties": {
                            "message": {"type": "string"},
                            "type": {"type": "string"},
                            "param": {"type": ["string", "null"]},
                            "code": {"type": ["string", "null"]},
                        },
                    }
                },
            }
        }
    },
}


MODEL: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "description": "A workload's name routes; a candidate's name pins.",
}
"""The field `model`, where an answer is asked for."""


def operation(
    tag: str,
    operation_id: str,
    summary: str,
    *,
    required: Sequence[str],
    properties: Mapping[str, Any],
    answer: str,
    extra: bool = False,
    note: str = "",
    schema: Mapping[str, Any] | None = None,
    streams: bool = False,
    error: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The OpenAPI operation object of a POST of JSON that is answered with JSON.

    Args:
        required: the fields that a request must have.
        properties: the JSON Schema of each field.
        answer: what comes back.
        extra: other fields are taken as well, with what `note` says of them.
        schema: the answer's JSON Schema, where it is ours to say.
        streams: the answer may be a stream of events.
        error: the response object of errors that are not in OpenAI's shape.
    """
    body = {
        "type": "object",
        "required": list(required),
        "additionalProperties": extra,
        **({"description": note} if note else {}),
        "properties": dict(properties),
    }
    content: dict[str, Any] = {"application/json": {"schema": schema or {"type": "object"}}}
    if streams:
        content["text/event-stream"] = {}
    responses: dict[str, Any] = {"200": {"description": answer, "content": content}}
    if error:
        responses["default"] = error
    return {
        "tags": [tag],
        "operationId": operation_id,
        "summary": summary,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": responses,
    }


def describe(app: FastAPI, operations: Mapping[str, dict[str, Any]]) -> None:
    """Have `app`'s OpenAPI document name the bare endpoints, the error shape and the ways to sign in.

    Args:
        operations: by path, the OpenAPI operation object of its POST. Errors need not be named: `default` is added.
    """
    made = app.openapi
    done = False

    def openapi() -> dict[str, Any]:
        nonlocal done
        document = made()  # the same object each time: FastAPI keeps it
        if not done:
            done = True
            bare = {path: {"post": operation} for path, operation in operations.items()}
            paths = document["paths"]
            document["paths"] = {path: {**bare.get(path, {}), **paths.get(path, {})} for path in (*bare, *paths)}
            document.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            }
            document["security"] = [{"bearer": []}, {"x-api-key": []}, {}]
            for path, methods in document["paths"].items():
                document["paths"][path] = {method: _with_errors(operation) for method, operation in methods.items()}
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document


def _with_errors(operation: dict[str, Any]) -> dict[str, Any]:
    """FastAPI's own 422 is never sent: what is wrong with a request is a 400 in OpenAI's shape."""
    responses = {status: response for status, response in operation["responses"].items() if status != "422"}
    return {**operation, "responses": {**responses, "default": responses.get("default", _ERROR)}}
