"""What the OpenAPI document says of the chat endpoint, which FastAPI does not serve and so cannot know of."""

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

_CHAT = {
    "post": {
        "tags": ["chat"],
        "operationId": "create_chat_completion",
        "summary": "Answer a conversation, from the documents of the workload that `model` names.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": ["model", "messages"],
                        "additionalProperties": True,
                        "properties": {
                            "model": {
                                "type": "string",
                                "minLength": 1,
                                "description": "A workload's name routes; a candidate's name pins.",
                            },
                            "messages": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "object",
                                    "required": ["role"],
                                    "additionalProperties": True,
                                    "properties": {
                                        "role": {
                                            "enum": ["system", "developer", "user", "assistant", "tool", "function"]
                                        },
                                        "content": {
                                            "anyOf": [
                                                {"type": "string"},
                                                {"type": "null"},
                                                {
                                                    "type": "array",
                                                    "items": {
                                                        "type": "object",
                                                        "required": ["type"],
                                                        "properties": {
                                                            "type": {"type": "string"},
                                                            "text": {"type": ["string", "null"]},
                                                        },
                                                    },
                                                },
                                            ]
                                        },
                                    },
                                },
                            },
                            "stream": {"type": ["boolean", "null"]},
                            "stream_options": {
                                "type": ["object", "null"],
                                "properties": {"include_usage": {"type": ["boolean", "null"]}},
                            },
                        },
                    }
                }
            },
        },
        "responses": {
            "200": {
                "description": "A `chat.completion`, or a stream of `chat.completion.chunk` events. Its id is the "
                "inference id that feedback points at; citations are `url_citation` annotations.",
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            "default": _ERROR,
        },
    }
}


def describe_chat(app: FastAPI) -> None:
    """Have `app`'s OpenAPI document name the endpoint, the error shape and the ways to sign in."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        if "/v1/chat/completions" not in document["paths"]:
            document["paths"] = {"/v1/chat/completions": _CHAT, **document["paths"]}
            document.setdefault("components", {})["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            }
            document["security"] = [{"bearer": []}, {"x-api-key": []}, {}]
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
                    operation["responses"].setdefault("default", _ERROR)
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend the document
