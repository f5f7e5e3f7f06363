"""What the OpenAPI document says of `POST /v1/embeddings`."""

from typing import Any

from rungwise_server.api.openapi import operation

_TOKENS = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}

OPERATION: dict[str, Any] = operation(
    "embeddings",
    "create_embedding",
    "Embed texts as the passages of the index are.",
    required=["model", "input"],
    properties={
        "model": {
            "type": "string",
            "minLength": 1,
            "description": "The embedder's name as `/v1/models` lists it (kind `embedder`), one of "
            "`embedder.aliases`, or `default`.",
        },
        "input": {
            "description": "Texts longer than the embedder reads are cut, at `embedder.max_tokens`. "
            "Tokens are those of cl100k_base, whichever the embedder is. Together at most 300,000 "
            "tokens.",
            "oneOf": [
                {"type": "string", "minLength": 1},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1},
                    "minItems": 1,
                    "maxItems": 2048,
                },
                _TOKENS,
                {"type": "array", "items": _TOKENS, "minItems": 1, "maxItems": 2048},
            ],
        },
        "encoding_format": {
            "enum": ["float", "base64", None],
            "description": "`base64` is of little-endian 32-bit floats.",
        },
        "dimensions": {
            "type": ["integer", "null"],
            "minimum": 1,
            "description": "Only what the embedder has is taken.",
        },
        "user": {"type": ["string", "null"]},
    },
    answer="One vector of unit length for each input, in order. `usage` counts tokens where they were "
    "sent, else guesses four bytes a token.",
    schema={
        "type": "object",
        "required": ["object", "data", "model", "usage"],
        "properties": {
            "object": {"const": "list"},
            "model": {"type": "string"},
            "data": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["object", "index", "embedding"],
                    "properties": {
                        "object": {"const": "embedding"},
                        "index": {"type": "integer"},
                        "embedding": {
                            "anyOf": [
                                {"type": "array", "items": {"type": "number"}},
                                {"type": "string"},
                            ]
                        },
                    },
                },
            },
            "usage": {
                "type": "object",
                "required": ["prompt_tokens", "total_tokens"],
                "properties": {
                    "prompt_tokens": {"type": "integer"},
                    "total_tokens": {"type": "integer"},
                },
            },
        },
    },
)
