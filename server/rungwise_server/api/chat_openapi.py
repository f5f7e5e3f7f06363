"""What the OpenAPI document says of `POST /v1/chat/completions`."""

from typing import Any

OPERATION: dict[str, Any] = {
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
                                    "role": {"enum": ["system", "developer", "user", "assistant", "tool", "function"]},
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
    },
}
