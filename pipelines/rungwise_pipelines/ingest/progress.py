"""What an ingest run tells a person while it works."""

import time

from rungwise_pipelines.progress import Shown, Silent


class Progress:
    """A run's progress, told by `shown`."""

    def __init__(self, shown: Shown | None = None) -> None:
        self._shown = shown or Silent()
        self._documents = self._passages = 0
        self._begun = time.monotonic()

    @property
    def wants_total(self) -> bool:
        """Whether counting a source's documents first is worth its time."""
        return self._shown.wants_total

    def begin(self, source: str, total: int | None) -> None:
        """A source is being read; `total` of its documents will come, None where nobody can say."""
        self._documents = self._passages = 0
        self._begun = time.monotonic()
        self._shown.begin("documents", total, label=source)

    def advance(self, *, documents: int = 0, passages: int = 0) -> None:
        """So many more documents are done, so many more passages embedded."""
        self._documents += documents
        self._passages += passages
        rate = self._passages / max(time.monotonic() - self._begun, 1e-3)
        self._shown.advance(self._documents, f"{self._passages:,} passages, {rate:.1f}/s")

    def end(self) -> None:
        """The source is done."""
        self._shown.end()
