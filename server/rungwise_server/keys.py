"""API keys: who holds one is a Caller.

A key is 256 random bits, so its plain SHA-256 is what is stored: nobody can try 2**256 keys, however fast the hash is.
Slow hashes (bcrypt, scrypt) are for what people make up; here they would only cost each request a tenth of a second.
"""

import asyncio
import hashlib
import json
import logging
import secrets
import time
from collections.abc import Collection

import sqlalchemy as sa
from msgspec import Struct

from rungwise_server.database import Database, api_key
from rungwise_server.errors import BadRequest, NotFound, RungwiseError, Unavailable
from rungwise_server.types import EVERYONE, Caller, new_id, principal

logger = logging.getLogger("rungwise.keys")

_STALE = 5.0
"""Seconds after which a key that was revoked elsewhere stops to work here."""
_BETWEEN = 1.0
"""Seconds between two looks at the database, however many unknown keys are tried."""
_PATIENCE = 2.0
"""Seconds that a request waits for a look."""
_NEVER = float("inf")
_PREFIX = "rw-"
_LENGTH = len(_PREFIX) + 43


class ApiKey(Struct, frozen=True):
    """A key without its secret. Times are seconds since the epoch; `revoked_at` is 0 while it works."""

    id: str
    user: str
    groups: frozenset[str]
    admin: bool
    created_at: float
    revoked_at: float = 0.0


_Stored = list[tuple[ApiKey, bytes]]
"""Keys with the hashes of their secrets."""


class KeyStore:
    """The keys of a database, known by heart: finding one costs a hash and a look into a dict.

    The database is asked again in the background, so that a key made elsewhere works at once (a second at most) and
    one revoked elsewhere stops within five. While the database is down, the keys known so far go on working.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._callers: dict[bytes, Caller] = {}
        self._any = False
        self._as_of = -_NEVER
        self._tried = -_NEVER
        self._fault = ""
        self._look: asyncio.Task[None] | None = None

    async def create(self, user: str, groups: Collection[str] = (), *, admin: bool = False) -> tuple[ApiKey, str]:
        """Make a key and its secret, which is told here and never again.

        Raises:
            BadRequest: a name that no permission could be written for: empty, `everyone`, with a colon or white space.
            Unavailable: the database does not answer.
        """
        key = ApiKey(
            id=new_id("key"),
            user=_name("user", user),
            groups=frozenset(_name("group", group) for group in groups),
            admin=admin,
            created_at=time.time(),
        )
        secret = _PREFIX + secrets.token_urlsafe(32)
        digest = _digest(secret)
        await asyncio.to_thread(self._insert, key, digest)
        self._callers = {**self._callers, digest: _caller(key)}
        self._any = True
        return key, secret

    async def list(self) -> list[ApiKey]:
        """All keys ever made, oldest first, revoked ones too: the log's records point at them. Raises Unavailable."""
        return [key for key, _ in await asyncio.to_thread(self._select)]

    async def revoke(self, key_id: str) -> None:
        """End a key, for good. Revoking it again changes nothing. Raises NotFound, RungwiseError, Unavailable."""
        await asyncio.to_thread(self._end, key_id)
        self._callers = {digest: caller for digest, caller in self._callers.items() if caller.key_id != key_id}

    async def find(self, secret: str) -> Caller | None:
        """Who holds the key; None where nobody does.

        Raises:
            Unavailable: the database does not answer, and the key is not among those known before.
        """
        if len(secret) != _LENGTH or not secret.startswith(_PREFIX):
            return None
        digest = _digest(secret)
        await self._freshen()
        caller = self._callers.get(digest)
        if caller is None:
            await self._look_after(time.monotonic())
            caller = self._callers.get(digest)
        return caller

    async def any(self) -> bool:
        """Whether a key was ever made: revoking the last one does not open the house. Raises Unavailable."""
        await self._freshen()
        return self._any

    async def _freshen(self) -> None:
        """See to it that what is known is not older than `_STALE`, without waiting where it need not be."""
        age = time.monotonic() - self._as_of
        if age < _STALE / 2:
            return
        self._begin()
        if age >= _STALE and (not self._fault or self._as_of == -_NEVER):
            await self._await_look()
        if self._as_of == -_NEVER:
            raise Unavailable(f"keys cannot be checked: {self._fault}")

    async def _look_after(self, asked: float) -> None:
        """Wait for a look that began after `asked`."""
        while self._as_of < asked:
            if not self._begin():
                await asyncio.sleep(max(self._tried + _BETWEEN - time.monotonic(), 0.001))
                continue
            await self._await_look()
            if self._fault:
                raise Unavailable(f"this key cannot be checked: {self._fault}")

    def _begin(self) -> bool:
        """Have a look in flight; False where the last one was just now."""
        if self._look is None or self._look.done():
            now = time.monotonic()
            if now - self._tried < _BETWEEN:
                return False
            self._tried = now
            self._look = asyncio.create_task(self._refresh(now))
        return True

    async def _await_look(self) -> None:
        if self._look is not None:
            _, unfinished = await asyncio.wait({self._look}, timeout=_PATIENCE)
            if unfinished:
                self._fail("the database takes too long to answer")

    async def _refresh(self, now: float) -> None:
        try:
            keys = await asyncio.to_thread(self._select)
        except RungwiseError as error:
            self._fail(error.message)
            return
        self._callers = {digest: _caller(key) for key, digest in keys if not key.revoked_at}
        self._any = bool(keys)
        self._as_of = now
        self._fault = ""

    def _fail(self, reason: str) -> None:
        if not self._fault:
            logger.warning("%s; keys known so far go on working, others are refused", reason)
        self._fault = reason

    # On threads.

    def _insert(self, key: ApiKey, digest: bytes) -> None:
        with self._database.write() as connection:
            connection.execute(
                sa.insert(api_key).values(
                    id=key.id,
                    hash=digest.hex(),
                    user_name=key.user,
                    groups=json.dumps(sorted(key.groups), ensure_ascii=False),
                    admin=key.admin,
                    created_at=key.created_at,
                )
            )

    def _select(self) -> _Stored:
        with self._database.read() as connection:
            rows = connection.execute(sa.select(api_key).order_by(api_key.c.created_at, api_key.c.id)).all()
        return [
            (
                ApiKey(
                    id=row.id,
                    user=row.user_name,
                    groups=frozenset(json.loads(row.groups)),
                    admin=row.admin,
                    created_at=row.created_at,
                    revoked_at=row.revoked_at or 0.0,
                ),
                bytes.fromhex(row.hash),
            )
            for row in rows
        ]

    def _end(self, key_id: str) -> None:
        with self._database.write() as connection:
            ours = api_key.c.id == key_id
            if connection.execute(sa.select(api_key.c.id).where(ours)).first() is None:
                raise NotFound(f"there is no key {key_id!r}: `rungwise keys list` shows them")
            still = ours & api_key.c.revoked_at.is_(None)
            connection.execute(sa.update(api_key).where(still).values(revoked_at=time.time()))


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _caller(key: ApiKey) -> Caller:
    return Caller(user=key.user, groups=key.groups, key_id=key.id, admin=key.admin)


def _name(kind: str, name: str) -> str:
    try:
        if ":" in name or name == EVERYONE:
            raise ValueError
        principal(f"{kind}:{name}")
    except ValueError:
        message = f"{name!r} is no name for a {kind}: it is empty or `everyone`, or has a colon or white space"
        raise BadRequest(message, param=kind) from None
    return name
