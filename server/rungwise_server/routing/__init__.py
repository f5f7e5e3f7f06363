"""Routers: each implements or wraps `rungwise_server.protocols.Router`. They choose; they never call a model."""
