"""After a large run the search graph is built, on a copy that takes the place of the old shard."""

from pathlib import Path

import pytest

from rungwise_connectors.folder import Folder
from rungwise_connectors.sandbox import Parser
from rungwise_pipelines.ingest.progress import Progress
from rungwise_pipelines.ingest.run import run
from rungwise_pipelines.ingest.sync import Source
from rungwise_server import bootstrap
from rungwise_server.config.settings import Settings
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Caller


@pytest.mark.parametrize(("large", "built"), [(3, True), (4, False)])
async def test_the_graph_is_built_after_a_large_run_and_everything_is_found(
    tmp_path: Path, large: int, built: bool
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    settings = Settings(home=tmp_path / "home")
    embedder = HashEmbedder()
    source = Source(Folder("documents", folder), "docs", frozenset({"everyone"}))

    async def ingest(*names: str) -> set[str]:
        for name in names:
            (folder / f"{name}.txt").write_text(f"All about {name}.")
        async with Parser() as parser:
            report = await run(settings, [source], embedder, parser, Progress(), large=large)
        assert report.passages == len(names)
        return {shard.name for shard in (tmp_path / "home" / "index" / "docs").glob("shard-*")}

    before = await ingest("otters", "badgers")
    after = await ingest("herons", "moose", "quails")
    assert len(before) == len(after) == 1
    assert (before != after) == built
    index = await bootstrap.open_index(settings, {})
    try:
        retriever = bootstrap.open_retriever(index, embedder, ("docs",))
        for name in ("otters", "quails"):
            found = await retriever.retrieve(f"about {name}", Caller(), 5)
            assert found[0].document_id == f"{name}.txt"
        assert await index.count("docs") == 5
    finally:
        await index.close()
