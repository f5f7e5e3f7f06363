"""Fakes and contract suites, one module a room; nothing is imported here, so that each costs only what it needs.

`models`: a scripted `ChatModel` and the suite that every `ChatModel` passes. `upstream`: a model provider as a real
HTTP server. `retrieval`, `log`, `routing`: the same for their protocols.
"""
