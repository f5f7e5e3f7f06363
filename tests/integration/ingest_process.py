"""Runs ingestions in processes that die: forks one for each line `HOME FOLDER SECONDS` on standard input, ends it by
kill -9 after so many seconds (0: never), and writes its exit code.

Forked, because each process of its own would first load llama-index, for seconds.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rungwise_connectors.folder import Folder
from rungwise_connectors.sandbox import Parser
from rungwise_connectors.types import Parsed
from rungwise_pipelines.ingest.split import Origin, Splitter
from rungwise_pipelines.ingest.sync import Source, Sync
from rungwise_server.database import open_database
from rungwise_server.retrieval.indexes.shared import open_embedded
from rungwise_server.retrieval.language import guess
from rungwise_server.retrieval.sparse import Bm25Encoder
from rungwise_server.testing.retrieval_embedder import HashEmbedder
from rungwise_server.types import Vector


class Slow(HashEmbedder):
    """Takes as long as a small model would, so that a kill can hit it."""

    async def embed(self, texts: Sequence[str], kind: Literal["query", "passage"]) -> Vector:
        await asyncio.sleep(0.002 * len(texts))
        return await super().embed(texts, kind)


async def ingest(home: Path, folder: Path) -> None:
    database = open_database(f"sqlite:///{home / 'state.db'}")
    index = await open_embedded(home / "index", home / "index.sock", "test")
    async with Parser(workers=1) as parser:
        sync = Sync(index=index, embedder=Slow(), terms=Bm25Encoder(), parser=parser, database=database, detect=guess)
        report = await sync.run(Source(Folder("docs", folder), "docs", frozenset({"everyone"})))
    await index.close()
    database.close()
    if report.failed or report.error or report.warning:
        raise SystemExit(f"{report}")


def main() -> None:
    origin = Origin("", "", "", frozenset())
    Splitter().split(Parsed("Words. " * 500, ()), origin)
    print("ready", flush=True)
    for line in sys.stdin:
        home, folder, seconds = line.split()
        pid = os.fork()
        if not pid:
            asyncio.run(ingest(Path(home), Path(folder)))
            os._exit(0)
        if float(seconds):
            time.sleep(float(seconds))
            os.kill(pid, signal.SIGKILL)  # not waited for yet, so the id is still its own
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
