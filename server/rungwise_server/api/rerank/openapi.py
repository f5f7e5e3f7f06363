"""What the OpenAPI document says of `POST /v1/rerank`, `/rerank` and `/v2/rerank`."""

from typing import Any

from rungwise_server.api.openapi import operation

_RESULT = {
    "type": "object",
    "required": ["index", "relevance_score"],
    "properties": {
        "index": {"type": "integer", "description": "The document's place in the request."},
        "relevance_score": {"type": "number"},
        "document": {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}},
    },
}


def operation_at(path: str) -> dict[str, Any]:
    """The operation at `path`; they differ in what `return_documents` is by default."""
    default = "false" if path.startswith("/v2") else "true"
    return operation(
        "rerank",
        f"rerank{path.removesuffix('/rerank').replace('/', '_')}",
        "Order texts by how well they answer a query, as Jina, Cohere and vLLM do.",
        required=["query", "documents"],
        properties={
            "query": {"type": "string", "minLength": 1},
            "documents": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "description": "Texts, or objects with one as `text` or in `rank_fields`. Together at "
                "most 1,200,000 characters.",
                "items": {"anyOf": [{"type": "string"}, {"type": "object"}]},
            },
            "model": {
                "type": ["string", "null"],
                "description": "The reranker's name, or `default`, or nothing.",
            },
            "top_n": {"type": ["integer", "null"], "minimum": 1},
            "return_documents": {
                "type": ["boolean", "null"],
                "description": f"By default {default}.",
            },
            "rank_fields": {"type": ["array", "null"], "items": {"type": "string"}},
            "max_tokens_per_doc": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "Longer documents are cut, at four characters a token.",
            },
            "max_chunks_per_doc": {
                "type": ["integer", "null"],
                "minimum": 1,
                "description": "How many pieces of a document are compared with the query: 10, unless said otherwise.",
            },
            "user": {"type": ["string", "null"]},
        },
        answer="Best first. Scores are from 0 to 1 with the embedded reranker.",
        schema={
            "type": "object",
            "required": ["id", "model", "results", "usage", "meta"],
            "properties": {
                "id": {"type": "string"},
                "object": {"const": "list"},
                "model": {"type": "string"},
                "results": {"type": "array", "items": _RESULT},
                "usage": {"type": "object"},
                "meta": {"type": "object"},
            },
        },
    )
