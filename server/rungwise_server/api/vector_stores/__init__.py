"""OpenAI's vector stores: collections that clients make, fill and search."""
