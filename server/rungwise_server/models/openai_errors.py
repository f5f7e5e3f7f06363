"""An OpenAI-compatible server's refusals, in our error tree."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime

from rungwise_server.errors import UpstreamError, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from rungwise_server.models.openai_wire import Failure

_REFUSED = frozenset({400, 404, 413, 422})


def upstream_error(
    who: str, status: int, failure: Failure, *, headers: Mapping[bytes, bytes] = {}, secrets: Sequence[str] = ()
) -> UpstreamError:
    """The error that a status and an error body mean. `who` names the model; `secrets` never come into the message."""
    said = redact(failure.message, secrets) or f"HTTP status {status}"
    code = failure.code
    if status in (401, 403):
        return UpstreamError(
            f"{who} refused this server's own key (HTTP status {status}), not yours: whoever runs this server must set "
            "a valid one for it"
        )
    if status == 429:
        return UpstreamLimited(
            f"{who}: {said}", code=code, retry_after=retry_after(headers), limits=_rate_limits(headers)
        )
    if status in _REFUSED:
        return UpstreamRefused(f"{who}: {said}", status=status, param=failure.param, code=code)
    if status in (408, 504):
        return UpstreamTimeout(f"{who}: {said}")
    if 300 <= status < 400:
        to = headers.get(b"location", b"").decode("latin-1")
        return UpstreamError(f"{who} redirects to {to!r}: the candidate's url must be where it really is")
    return UpstreamError(f"{who} failed: {said}", retry_after=retry_after(headers))


def _rate_limits(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """`x-ratelimit-*`, as far as they are plain text: they go on to the client."""
    found = {name.decode("latin-1"): value for name, value in headers.items() if name.startswith(b"x-ratelimit-")}
    return {name: value.decode() for name, value in found.items() if re.fullmatch(rb"[ -~]{1,100}", value)}


def redact(text: str, secrets: Sequence[str]) -> str:
    """`text` without the secrets. Very short ones are placeholders, such as `none`, and stay."""
    for secret in secrets:
        if len(secret) >= 8:
            text = text.replace(secret, "[key]")
    return text


def retry_after(headers: Mapping[bytes, bytes]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after` (seconds or a date)."""
    for name, scale in ((b"retry-after-ms", 1e-3), (b"retry-after", 1.0)):
        value = headers.get(name, b"").decode("latin-1").strip()
        try:
            seconds = float(value) * scale
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    try:
        date = parsedate_to_datetime(headers.get(b"retry-after", b"").decode("latin-1"))
        return max(0.0, date.timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
