"""Offline batches: OpenAI batch lines through the same engine as online requests, each exactly once."""
