"""What the OpenAPI document says of `POST /v1/completions`."""

from typing import Any

from rungwise_server.api.openapi import MODEL, operation

OPERATION: dict[str, Any] = operation(
    "chat",
    "create_completion",
    "Answer a prompt, for clients of the legacy wire; a prompt is asked as a user's message.",
    required=["model", "prompt"],
    properties={
        "model": MODEL,
        "prompt": {
            "description": "Several prompts are several choices. Token ids are not taken.",
            "anyOf": [
                {"type": "string"},
                {"type": "array", "minItems": 1, "maxItems": 128, "items": {"type": "string"}},
            ],
        },
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 128},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "stop": {
            "anyOf": [
                {"type": ["string", "null"]},
                {"type": "array", "items": {"type": "string"}},
            ]
        },
        "seed": {"type": ["integer", "null"]},
        "echo": {"type": ["boolean", "null"]},
        "logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": 20},
        "stream": {"type": ["boolean", "null"]},
        "stream_options": {
            "type": ["object", "null"],
            "description": "Only where `stream` is true.",
            "properties": {"include_usage": {"type": ["boolean", "null"]}},
        },
    },
    extra=True,
    answer="A `text_completion`, or a stream of them that ends with `[DONE]`. Its id is the inference "
    "id of the first prompt; citations are `annotations` of a choice.",
    streams=True,
)
