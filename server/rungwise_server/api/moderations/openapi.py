"""What the OpenAPI document says of `POST /v1/moderations`."""

from typing import Any

from rungwise_server.api.openapi import operation

OPERATION: dict[str, Any] = operation(
    "moderations",
    "create_moderation",
    "Have a text judged by the candidate that `moderations` names in the configuration.",
    required=["input"],
    properties={
        "input": {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
            ]
        },
        "model": {"type": ["string", "null"], "description": "The model's name there; passed on."},
    },
    extra=True,
    answer="The candidate's own answer.",
)
