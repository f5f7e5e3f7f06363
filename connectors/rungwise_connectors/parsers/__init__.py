"""From a document's bytes to its text, with where each part of it stands. One small module a format.

`rungwise_connectors.parsers.parse.parse` runs in the calling process: it is for `rungwise_connectors.sandbox.Parser`,
which runs it in processes with limits. Documents are hostile.
"""
