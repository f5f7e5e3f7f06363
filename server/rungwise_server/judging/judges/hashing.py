"""The hash of what a judge is made of: a certificate holds for one hash."""

import hashlib

import msgspec


def hash_of(*parts: object) -> str:
    """16 hex digits over plain values, in order."""
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:16]
