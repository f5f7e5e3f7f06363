"""What the OpenAPI document says of `POST /v1/responses`."""

from typing import Any

from rungwise_server.api.openapi import MODEL, operation
from rungwise_server.api.responses.request import INCLUDES

_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_FLAG: dict[str, Any] = {"type": ["boolean", "null"]}


def _number(low: float, high: float) -> dict[str, Any]:
    return {"type": ["number", "null"], "minimum": low, "maximum": high}


_PART = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"enum": ["input_text", "output_text", "refusal", "input_image", "input_file"]},
        "text": _TEXT,
        "refusal": _TEXT,
        "image_url": {**_TEXT, "description": "A URL or a data URL."},
        "detail": _TEXT,
        "filename": _TEXT,
        "file_data": {**_TEXT, "description": "A data URL, or base64."},
    },
}
_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": _PART}]}
_ITEM = {
    "anyOf": [
        {
            "type": "object",
            "required": ["role", "content"],
            "properties": {
                "type": {"enum": ["message"]},
                "role": {"enum": ["user", "assistant", "system", "developer"]},
                "content": _CONTENT,
            },
        },
        {
            "type": "object",
            "required": ["type", "call_id", "name", "arguments"],
            "properties": {
                "type": {"enum": ["function_call"]},
                "call_id": {"type": "string"},
                "name": {"type": "string"},
                "arguments": {"type": "string"},
            },
        },
        {
            "type": "object",
            "required": ["type", "call_id", "output"],
            "properties": {
                "type": {"enum": ["function_call_output"]},
                "call_id": {"type": "string"},
                "output": _CONTENT,
            },
        },
        {
            "type": "object",
            "required": ["type"],
            "properties": {"type": {"enum": ["reasoning", "file_search_call"]}},
        },
        {
            "type": "object",
            "required": ["type", "encrypted_content"],
            "properties": {"type": {"enum": ["compaction"]}, "encrypted_content": {"type": "string"}},
        },
        {
            "type": "object",
            "required": ["type", "id"],
            "properties": {"type": {"enum": ["item_reference"]}, "id": {"type": "string", "minLength": 1}},
        },
    ]
}
_TOOL = {
    "anyOf": [
        {
            "type": "object",
            "required": ["type", "name"],
            "properties": {
                "type": {"enum": ["function"]},
                "name": {"type": "string", "minLength": 1},
                "description": _TEXT,
                "parameters": {"type": ["object", "null"]},
                "strict": _FLAG,
            },
        },
        {
            "type": "object",
            "required": ["type", "vector_store_ids"],
            "additionalProperties": False,
            "properties": {
                "type": {"enum": ["file_search"]},
                "vector_store_ids": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 20,
                    "items": {"type": "string", "minLength": 1},
                    "description": "Ids of vector stores, and names of collections.",
                },
                "filters": {"type": ["object", "null"]},
                "max_num_results": {"type": ["integer", "null"], "minimum": 1, "maximum": 50},
                "ranking_options": {
                    "type": ["object", "null"],
                    "additionalProperties": False,
                    "properties": {
                        "ranker": {"enum": ["auto", "none", "default-2024-11-15", None]},
                        "score_threshold": _number(0, 1),
                    },
                },
            },
        },
    ]
}

OPERATION: dict[str, Any] = operation(
    "responses",
    "create_response",
    "Answer a conversation, from the documents of the workload that `model` names or of `file_search`.",
    required=["model"],
    properties={
        "model": MODEL,
        "input": {
            "anyOf": [{"type": "string"}, {"type": "array", "items": _ITEM}, {"type": "null"}],
            "description": "May be left out with `previous_response_id` alone.",
        },
        "instructions": _TEXT,
        "previous_response_id": _TEXT,
        "tools": {"type": ["array", "null"], "items": _TOOL},
        "tool_choice": {
            "anyOf": [{"enum": ["none", "auto", "required", None]}, {"type": "object"}],
        },
        "parallel_tool_calls": _FLAG,
        "max_tool_calls": {"type": ["integer", "null"], "minimum": 1},
        "text": {"type": ["object", "null"]},
        "reasoning": {"type": ["object", "null"]},
        "include": {"type": ["array", "null"], "items": {"enum": list(INCLUDES)}},
        "max_output_tokens": {"type": ["integer", "null"], "minimum": 1},
        "temperature": _number(0, 2),
        "top_p": _number(0, 1),
        "presence_penalty": _number(-2, 2),
        "frequency_penalty": _number(-2, 2),
        "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
        "metadata": {
            "type": ["object", "null"],
            "maxProperties": 16,
            "additionalProperties": {"type": "string", "maxLength": 512},
        },
        "store": {**_FLAG, "description": "Kept for 30 days unless this is false."},
        "background": {**_FLAG, "description": "Answer at once, and run on."},
        "stream": _FLAG,
        "truncation": {"enum": ["disabled", None]},
        "user": _TEXT,
        "safety_identifier": _TEXT,
        "prompt_cache_key": _TEXT,
    },
    extra=True,
    answer="A `response`, or a stream of `response.*` events. Its id is the inference id that feedback "
    "points at; citations are `url_citation` annotations, or `file_citation` with `file_search`.",
    streams=True,
)

COMPACT: dict[str, Any] = operation(
    "responses",
    "compact_response",
    "Make a long conversation short: items to send in its place.",
    required=["model"],
    properties={
        "model": {"type": "string", "minLength": 1},
        "input": {"anyOf": [{"type": "string"}, {"type": "array", "items": _ITEM}, {"type": "null"}]},
        "previous_response_id": _TEXT,
        "instructions": _TEXT,
        "prompt_cache_key": _TEXT,
    },
    answer="A `response.compaction`: what users said as it was, and the rest in an item that this server reads.",
)
