"""What the OpenAPI document says of `POST /v1/chat/completions`."""

from typing import Any

from rungwise_server.api.openapi import MODEL, operation


def _nullable(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": [kind, "null"], **more}


_TEXT: dict[str, Any] = {"type": "string"}
_NAME: dict[str, Any] = {"type": "string", "minLength": 1}
_PART: dict[str, Any] = {
    "description": "Text, or a part that goes on to the model as it comes.",
    "anyOf": [
        {
            "type": "object",
            "required": ["type", "text"],
            "properties": {"type": {"const": "text"}, "text": _TEXT},
        },
        {
            "type": "object",
            "required": ["type", "image_url"],
            "properties": {
                "type": {"const": "image_url"},
                "image_url": {"type": "object", "required": ["url"], "properties": {"url": _TEXT}},
            },
        },
        *(
            {
                "type": "object",
                "required": ["type", kind],
                "properties": {"type": {"const": kind}, kind: {"type": "object"}},
            }
            for kind in ("input_audio", "file")
        ),
        {
            "type": "object",
            "required": ["type", "refusal"],
            "properties": {"type": {"const": "refusal"}, "refusal": _TEXT},
        },
    ],
}
_CONTENT: dict[str, Any] = {"anyOf": [_TEXT, {"type": "array", "items": _PART}]}
_CALLS: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["id", "type", "function"],
        "properties": {
            "id": _TEXT,
            "type": {"const": "function"},
            "function": {
                "type": "object",
                "required": ["name", "arguments"],
                "properties": {"name": _TEXT, "arguments": _TEXT},
            },
        },
    },
}
_MESSAGE: dict[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "required": ["role", "content"],
            "properties": {"role": {"enum": ["system", "developer", "user"]}, "content": _CONTENT},
        },
        {
            "type": "object",
            "required": ["role", "content"],
            "properties": {"role": {"const": "assistant"}, "content": _CONTENT, "tool_calls": _CALLS},
        },
        {
            "type": "object",
            "required": ["role", "tool_calls"],
            "properties": {"role": {"const": "assistant"}, "content": {"type": "null"}, "tool_calls": _CALLS},
        },
        {
            "type": "object",
            "required": ["role", "content", "tool_call_id"],
            "properties": {"role": {"const": "tool"}, "content": _CONTENT, "tool_call_id": _TEXT},
        },
    ],
}
_FUNCTION: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": _NAME,
        "description": _nullable("string"),
        "parameters": _nullable("object"),
        "strict": _nullable("boolean"),
    },
}
_FORMAT: dict[str, Any] = {
    "anyOf": [
        {"type": "null"},
        {"type": "object", "required": ["type"], "properties": {"type": {"enum": ["text", "json_object"]}}},
        {
            "type": "object",
            "required": ["type", "json_schema"],
            "properties": {
                "type": {"const": "json_schema"},
                "json_schema": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {"name": _NAME, "schema": _nullable("object"), "strict": _nullable("boolean")},
                },
            },
        },
    ]
}
OPERATION: dict[str, Any] = operation(
    "chat",
    "create_chat_completion",
    "Answer a conversation, from the documents of the workload that `model` names.",
    required=["model", "messages"],
    properties={
        "model": MODEL,
        "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
        "n": _nullable("integer", minimum=1, maximum=128),
        "temperature": _nullable("number", minimum=0, maximum=2),
        "top_p": _nullable("number", minimum=0, maximum=1),
        "presence_penalty": _nullable("number", minimum=-2, maximum=2),
        "frequency_penalty": _nullable("number", minimum=-2, maximum=2),
        "max_completion_tokens": _nullable("integer", minimum=1),
        "max_tokens": _nullable("integer", minimum=1, description="Its old name; not both."),
        "logprobs": _nullable("boolean"),
        "top_logprobs": _nullable("integer", minimum=0, maximum=20, description="Only where `logprobs` is true."),
        "seed": _nullable("integer"),
        "stop": {"anyOf": [_nullable("string"), {"type": "array", "items": _TEXT}]},
        "tools": _nullable(
            "array",
            items={
                "type": "object",
                "required": ["type", "function"],
                "properties": {"type": {"const": "function"}, "function": _FUNCTION},
            },
        ),
        "tool_choice": {
            "description": "`required` and a function's name only where `tools` has it.",
            "anyOf": [
                {"enum": ["none", "auto", "required", None]},
                {
                    "type": "object",
                    "required": ["type", "function"],
                    "properties": {
                        "type": {"const": "function"},
                        "function": {
                            "type": "object",
                            "required": ["name"],
                            "properties": {"name": _NAME},
                        },
                    },
                },
            ],
        },
        "parallel_tool_calls": _nullable("boolean"),
        "response_format": _FORMAT,
        "user": _nullable("string"),
        "stream": _nullable("boolean"),
        "stream_options": _nullable(
            "object",
            description="Only where `stream` is true.",
            properties={"include_usage": _nullable("boolean")},
        ),
    },
    extra=True,
    note="Other fields go on to the model, which may refuse them by name.",
    answer="A `chat.completion`, or a stream of `chat.completion.chunk` events that ends with "
    "`[DONE]`. Its id is the inference id that feedback points at; citations are `url_citation` annotations.",
    streams=True,
)
