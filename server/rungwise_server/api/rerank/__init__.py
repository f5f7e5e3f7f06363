"""Reranking, as Jina, Cohere and vLLM speak it."""
