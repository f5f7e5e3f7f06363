"""What the OpenAPI document says of `POST /v1/moderations`."""

from typing import Any

OPERATION: dict[str, Any] = {
    "tags": ["moderations"],
    "operationId": "create_moderation",
    "summary": "Have a text judged by the candidate that `moderations` names in the configuration.",
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["input"],
                    "additionalProperties": True,
                    "properties": {
                        "input": {
                            "anyOf": [
                                {"type": "string"},
                                {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "object"}]}},
                            ]
                        },
                        "model": {"type": ["string", "null"], "description": "The model's name there; passed on."},
                    },
                }
            }
        },
    },
    "responses": {
        "200": {
            "description": "The candidate's own answer.",
            "content": {"application/json": {"schema": {"type": "object"}}},
        }
    },
}
