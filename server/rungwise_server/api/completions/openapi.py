"""What the OpenAPI document says of `POST /v1/completions`."""

from typing import Any

OPERATION: dict[str, Any] = {
    "tags": ["chat"],
    "operationId": "create_completion",
    "summary": "Answer a prompt, for clients of the legacy wire; a prompt is asked as a user's message.",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["model", "prompt"],
                    "additionalProperties": True,
                    "properties": {
                        "model": {
                            "type": "string",
                            "minLength": 1,
                            "description": "A workload's name routes; a candidate's name pins.",
                        },
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
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "A `text_completion`, or a stream of them that ends with `[DONE]`. Its id is the inference "
            "id of the first prompt; citations are `annotations` of a choice.",
            "content": {
                "application/json": {"schema": {"type": "object"}},
                "text/event-stream": {},
            },
        },
    },
}
