"""Fixtures for every test: a PostgreSQL started once a session, and a fresh database in it for each test."""

from collections.abc import Iterator
from itertools import count

import pytest

from rungwise_server.testing.postgres import TemporaryPostgres

_numbers = count(1)


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
