"""What one process does, no other does at the same time."""

from pathlib import Path

import pytest

from rungwise_pipelines.lease import lease
from rungwise_server.errors import Conflict


def test_the_same_is_done_by_one_process_at_a_time(tmp_path: Path) -> None:
    home, told = tmp_path / "home", "source 'docs' is being ingested"
    with (
        lease(home, "ingest", "path:docs/é-1", told),
        lease(home, "ingest", "path:docs/e-1", told),
        lease(home, "eval", "path:docs/é-1", told),
        pytest.raises(Conflict, match=r"source 'docs' is being ingested by process \d+"),
        lease(home, "ingest", "path:docs/é-1", told),
    ):
        pass
    with lease(home, "ingest", "path:docs/é-1", told):
        pass
