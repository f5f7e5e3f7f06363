"""Fixtures for every test: a PostgreSQL started once a session, and a fresh database in it for each test."""

import signal
from collections.abc import Iterator
from itertools import count

import pytest

from rungwise_server.testing.postgres import TemporaryPostgres

_numbers = count(1)


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts this in the background has SIGINT ignored, and every process that a test starts would too.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[TemporaryPostgres]:
    server = TemporaryPostgres()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def postgres_url(postgres: TemporaryPostgres) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    postgres.execute(f"create database {name}")
    yield postgres.url(name)
    postgres.execute(f"drop database {name} with (force)")
