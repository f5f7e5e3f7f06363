"""Every error that crosses a room's door, as a tree; each knows its HTTP status and its place in OpenAI's error shape.

RungwiseError
├── BadRequest 400 ── TooLarge 413
├── Unauthorized 401
├── Forbidden 403
├── NotFound 404
├── Conflict 409
├── RateLimited 429          this server's own limit for the caller
├── Unavailable 503          a part of the house is down or busy: the message says which, and what to do
│   └── IndexBusy            another process holds the embedded index
├── UpstreamError 502        a model failed before its first delta
│   ├── UpstreamTimeout 504
│   ├── UpstreamLimited 429
│   └── UpstreamRefused      the model's 4xx: the caller's to mend, passed on with its own status
├── StreamBroken             a model failed after its first delta
└── SetupError               a person must mend the configuration or the machine; ends a command with its message
    ├── ConfigError          with file and line
    └── EmbedderMismatch     a collection was filled by another embedder
"""

from collections.abc import Mapping


class RungwiseError(Exception):
    """Base of all. `message` is for the caller and says what to do; `param` names the field at fault."""

    status = 500
    type = "server_error"
    code = "internal_error"

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code or self.code
        self.retry_after = retry_after


class BadRequest(RungwiseError):
    """The request is not of the form that the API takes."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_value"


class TooLarge(BadRequest):
    """A body, an upload or a field is over its limit."""

    status = 413
    code = "request_too_large"


class Unauthorized(RungwiseError):
    """No key, or one that is not known."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class Forbidden(RungwiseError):
    """A known caller may not do this. Objects of others are NotFound, not Forbidden."""

    status = 403
    type = "permission_error"
    code = "forbidden"


class NotFound(RungwiseError):
    """No such thing, or none that this caller may see."""

    status = 404
    type = "invalid_request_error"
    code = "not_found"


class Conflict(RungwiseError):
    """The thing exists, with other content."""

    status = 409
    type = "invalid_request_error"
    code = "conflict"


class RateLimited(RungwiseError):
    """The caller asks for more than it may; `retry_after` says when to come back."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class Unavailable(RungwiseError):
    """A part of the house cannot answer now."""

    status = 503
    type = "server_error"
    code = "unavailable"


class IndexBusy(Unavailable):
    """Another process holds the embedded index."""

    code = "index_busy"


class UpstreamError(RungwiseError):
    """A model failed before its first delta: unreachable, a 5xx, an answer that is none."""

    status = 502
    type = "upstream_error"
    code = "upstream_error"


class UpstreamTimeout(UpstreamError):
    """A model did not answer in time."""

    status = 504
    code = "upstream_timeout"


class UpstreamLimited(UpstreamError):
    """A model's rate limit (429); `retry_after` in seconds where it said so, `limits` its `x-ratelimit-*` headers."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        limits: Mapping[str, str] = {},
    ) -> None:
        super().__init__(message, code=code, retry_after=retry_after)
        self.limits = limits


class UpstreamRefused(UpstreamError):
    """The model refused the request itself (400, 404, 413, 422); no other replica would take it."""

    type = "invalid_request_error"
    code = "upstream_refused"

    def __init__(self, message: str, *, status: int, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, param=param, code=code)
        self.status = status


class StreamBroken(RungwiseError):
    """A model failed after its first delta: nothing may be retried any more."""

    status = 502
    type = "upstream_error"
    code = "stream_broken"


class SetupError(RungwiseError):
    """Something that a person must mend before the command can run."""

    code = "setup_error"


class ConfigError(SetupError):
    """The configuration is wrong; the message has file, line and what was probably meant."""

    code = "config_error"


class EmbedderMismatch(SetupError):
    """A filled collection and the configured embedder do not fit together."""

    code = "embedder_mismatch"
