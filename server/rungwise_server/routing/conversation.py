"""What a request belongs to, as routers tell conversations and callers apart: hashes, never words."""

import hashlib
from collections.abc import Iterable

from rungwise_server.types import Question


def conversation(question: Question) -> bytes:
    """The conversation that a question is of: its caller, its workload, and its messages up to the first of the user,
    which every later turn repeats. Two conversations of one caller that begin with the same words are one.
    """
    opening: list[str] = []
    for message in question.messages:
        opening += (message.role, message.text)
        if message.role == "user":
            break
    return _hash([question.workload, *_who(question), *opening])


def caller(question: Question) -> bytes:
    """Who asks; of somebody who is nobody in particular, the conversation."""
    who = _who(question)
    return _hash([question.workload, *who]) if any(who) else conversation(question)


def uniform(salt: str, key: bytes) -> float:
    """A number from 0 to below 1 that is as good as drawn by chance, and the same each time."""
    return int.from_bytes(_hash([salt, key.hex()])[:7]) / 2**56


def _who(question: Question) -> tuple[str, str]:
    asker = question.caller
    return (asker.user, "" if asker.user else asker.key_id)


def _hash(parts: Iterable[str]) -> bytes:
    made = hashlib.blake2b(digest_size=16)
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        made.update(len(raw).to_bytes(8))
        made.update(raw)
    return made.digest()
