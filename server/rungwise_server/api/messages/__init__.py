"""Anthropic's Messages, for the clients that speak only that."""
