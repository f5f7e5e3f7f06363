"""What the OpenAPI document says beyond what FastAPI knows: the bare ASGI endpoints, the error shape, signing in.

Each bare endpoint describes itself: its operation object is the constant `OPERATION` of `api/<surface>_openapi.py`.
"""

from collections.abc import Mapping
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
