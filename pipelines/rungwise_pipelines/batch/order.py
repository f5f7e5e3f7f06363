"""Which lines run beside each other: those whose prompts begin alike, so that a model's prefix cache works.

A key is made of hashes of ever longer beginnings of the prompt, 64 bytes to 64 KiB: lines sorted by it stand together
with those that they have most in common with, and no prompt need be kept for the sorting.
"""

import struct
from collections.abc import Mapping
from zlib import crc32

import msgspec
from msgspec import Raw

_LEVELS = [64 << level for level in range(11)]
_PACK = struct.Struct(f">{len(_LEVELS) + 1}H")
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_AHEAD = ("model", "tools", "response_format", "text")
_PROMPT = ("instructions", "messages", "input", "prompt")


def prefix_key(body: bytes) -> bytes:
    """24 bytes to sort by. What chat templates put ahead of the messages counts before them."""
    fields: Mapping[str, Raw] = _FIELDS.decode(body)
    ahead = 0
    for name in _AHEAD:
        ahead = crc32(fields.get(name, b""), ahead)
    prompt = memoryview(b"".join(bytes(fields[name]) for name in _PROMPT if name in fields))
    hashes = [ahead & 0xFFFF]
    done = so_far = 0
    for level in _LEVELS:
        so_far = crc32(prompt[done:level], so_far)
        done = level
        hashes.append(so_far & 0xFFFF)
    return _PACK.pack(*hashes)
