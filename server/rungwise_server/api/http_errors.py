"""FastAPI's own errors, and whatever else happens behind it, in the shape that every client here knows."""

from collections.abc import Callable, Iterator, Sequence

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from rungwise_server.api.asgi import Scope
from rungwise_server.api.errors import WrongMethod, error_body, error_headers, error_status
from rungwise_server.errors import BadRequest, NotFound, RungwiseError, TooLarge

_SAID = {
    "missing": ("Missing required parameter: '{}'.", "missing_required_parameter"),
    "extra_forbidden": ("Unknown parameter: '{}'.", "unknown_parameter"),
}


def handle_errors(app: FastAPI, allowed: Callable[[Scope], list[str]]) -> None:
    """Have `app` answer every error in OpenAI's shape. `allowed` gives the methods of a request's URL."""

    async def http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _response(_of_http(request, error, allowed))

    app.add_exception_handler(RungwiseError, _error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, _error)


async def _error(request: Request, error: Exception) -> Response:
    return _response(error)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _response(_of_validation(error))


def _response(error: Exception) -> Response:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in error_headers(error)}
    return Response(error_body(error), error_status(error), headers, "application/json")


def _of_http(request: Request, error: HTTPException, allowed: Callable[[Scope], list[str]]) -> RungwiseError:
    match error.status_code:
        case 404:
            return NotFound(f"There is nothing at {request.url.path}.", code="unknown_url")
        case 405:
            return WrongMethod(request.method, allowed(request.scope))
        case 413:
            return TooLarge(str(error.detail))
    told = BadRequest(str(error.detail), code="bad_request")
    told.status = error.status_code
    return told


def _place(loc: Sequence[str | int], body: object, type: str) -> Iterator[str | int]:
    """The way to what is wrong, without the part of the request and without the names that pydantic gives to the
    members of a union: those are no keys of the body.
    """
    for part in loc[1:]:
        if loc[0] != "body" or (type == "missing" and part == loc[-1]):
            yield part
        elif isinstance(body, dict | list) and _is_in(part, body):
            yield part
            body = body[part]  # type: ignore[index]  # a list's part is a number


def _is_in(part: str | int, body: dict[object, object] | list[object]) -> bool:
    return part in body if isinstance(body, dict) else isinstance(part, int)


def _of_validation(error: RequestValidationError) -> BadRequest:
    """The first thing that is wrong; `param` is where, without the part of the request that it stands in."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return BadRequest(f"The body is not valid JSON: {reason}.", code="invalid_json")
    where = ".".join(str(part) for part in _place(first["loc"], error.body, first["type"]))
    if where and first["type"] in _SAID:
        said, code = _SAID[first["type"]]
        return BadRequest(said.format(where), param=where, code=code)
    told = first["msg"].removeprefix("Value error, ")
    return BadRequest(f"Invalid value for '{where or 'body'}': {told}.", param=where or None)
