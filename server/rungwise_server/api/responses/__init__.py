"""OpenAI's Responses: read, answered, streamed, kept, run in the background, made short."""
