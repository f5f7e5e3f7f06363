"""From a status and an error body to our error tree."""

import time
from email.utils import formatdate

import pytest

from rungwise_server.errors import UpstreamError, UpstreamLimited, UpstreamRefused, UpstreamTimeout
from rungwise_server.models.openai_errors import redact, retry_after, upstream_error
from rungwise_server.models.openai_wire import Failure

KEY = "sk-very-secret"


@pytest.mark.parametrize(
    ("status", "kind", "ours"),
    [
        (400, UpstreamRefused, 400),
        (404, UpstreamRefused, 404),
        (413, UpstreamRefused, 413),
        (422, UpstreamRefused, 422),
        (429, UpstreamLimited, 429),
        (401, UpstreamError, 502),
        (403, UpstreamError, 502),
        (402, UpstreamError, 502),
        (408, UpstreamTimeout, 504),
        (302, UpstreamError, 502),
        (500, UpstreamError, 502),
        (503, UpstreamError, 502),
        (504, UpstreamTimeout, 504),
    ],
)
def test_kinds(status: int, kind: type[UpstreamError], ours: int) -> None:
    failure = Failure(f"no: {KEY}", param="n", code="odd")
    error = upstream_error("the model 'm' at host:1", status, failure, secrets=[KEY])
    assert type(error) is kind
    assert error.status == ours
    assert "the model 'm' at host:1" in error.message
    assert KEY not in error.message
    if kind is UpstreamRefused:
        assert (error.param, error.code, error.message) == ("n", "odd", "the model 'm' at host:1: no: [key]")


def test_a_refused_key_is_the_servers_not_the_callers() -> None:
    error = upstream_error("the model 'm'", 401, Failure("Incorrect API key provided: sk-ve****"))
    assert "not yours" in error.message
    assert "sk-ve" not in error.message
    assert error.code == "upstream_error"


def test_a_redirect_says_where_to() -> None:
    error = upstream_error("the model 'm'", 308, Failure(""), headers={b"location": b"https://elsewhere/v1"})
    assert "https://elsewhere/v1" in error.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({b"retry-after": b"3"}, 3.0),
        ({b"retry-after": b"1.5"}, 1.5),
        ({b"retry-after-ms": b"250", b"retry-after": b"9"}, 0.25),
        ({b"retry-after": b"Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"soon"}, None),
        ({}, None),
    ],
)
def test_retry_after(headers: dict[bytes, bytes], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_retry_after_a_date_to_come() -> None:
    seconds = retry_after({b"retry-after": formatdate(time.time() + 100, usegmt=True).encode()})
    assert seconds is not None
    assert 50 < seconds <= 100


def test_placeholders_are_no_secrets() -> None:
    assert redact("none of your business", ["none", ""]) == "none of your business"
