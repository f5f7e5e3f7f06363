"""What the OpenAPI document says of `POST /v1/messages`."""

from typing import Any

from rungwise_server.api.openapi import MODEL, operation

_ERROR: dict[str, Any] = {
    "description": "An error in Anthropic's shape.",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["type", "error", "request_id"],
                "properties": {
                    "type": {"const": "error"},
                    "error": {
                        "type": "object",
                        "required": ["type", "message"],
                        "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
                    },
                    "request_id": {"type": "string"},
                },
            }
        }
    },
}
_BLOCKS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["type"],
        "additionalProperties": True,
        "properties": {"type": {"type": "string"}},
    },
}
OPERATION: dict[str, Any] = operation(
    "chat",
    "create_message",
    "Answer a conversation in Anthropic's wire, from the documents of the workload that `model` names.",
    required=["model", "max_tokens", "messages"],
    properties={
        "model": MODEL,
        "max_tokens": {"type": "integer", "minimum": 1},
        "messages": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["role", "content"],
                "additionalProperties": True,
                "properties": {
                    "role": {"enum": ["user", "assistant", "system"]},
                    "content": {"anyOf": [{"type": "string"}, _BLOCKS]},
                },
            },
        },
        "system": {"anyOf": [{"type": ["string", "null"]}, _BLOCKS]},
        "tools": {
            "type": ["array", "null"],
            "items": {
                "type": "object",
                "required": ["name", "input_schema"],
                "additionalProperties": True,
                "properties": {
                    "name": {"type": "string", "minLength": 1},
                    "description": {"type": ["string", "null"]},
                    "input_schema": {"type": "object"},
                },
            },
        },
        "tool_choice": {
            "type": ["object", "null"],
            "required": ["type"],
            "properties": {"type": {"enum": ["auto", "any", "tool", "none"]}},
        },
        "stop_sequences": {"type": ["array", "null"], "items": {"type": "string"}},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "top_k": {"type": ["integer", "null"], "minimum": 0},
        "stream": {"type": ["boolean", "null"]},
    },
    extra=True,
    answer="A `message`, or a stream of its events. Its id is the inference id that feedback points "
    "at; citations are `search_result_location`s of text blocks.",
    streams=True,
    error=_ERROR,
)
