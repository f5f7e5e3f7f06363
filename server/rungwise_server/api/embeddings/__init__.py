"""OpenAI's embeddings, by the embedder that the index has."""
