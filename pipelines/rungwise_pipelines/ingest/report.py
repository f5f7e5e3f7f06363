"""What a run did: for programs as JSON, for people as a table."""

import msgspec
from msgspec import Struct


class Failure(Struct, frozen=True):
    """A document that is not up to date in the index, and why. It is tried again in the next run."""

    id: str
    reason: str


class SourceReport(Struct):
    """What happened to one source. The counts are of documents, `passages` of passages embedded; `error` is set where
    the source as a whole could not be read to its end, `warning` where something was left for a person to confirm."""

    source: str
    collection: str
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    readers_changed: int = 0
    deleted: int = 0
    failed: list[Failure] = []
    passages: int = 0
    seconds: float = 0.0
    error: str = ""
    warning: str = ""

    @property
    def documents(self) -> int:
        """How many the source has, as far as they could be read."""
        return self.new + self.changed + self.unchanged + self.readers_changed


class IngestReport(Struct):
    """What happened to all sources of a run."""

    sources: list[SourceReport] = []
    seconds: float = 0.0
    left_out: list[str] = []
    """Sources that a rebuilt collection was filled from before, and that this run did not read."""

    @property
    def passages(self) -> int:
        """How many were embedded."""
        return sum(source.passages for source in self.sources)

    @property
    def ok(self) -> bool:
        """Whether every source was read to its end, every document of it is in the index, and nothing waits."""
        return not any(source.failed or source.error or source.warning for source in self.sources)

    @property
    def eventful(self) -> bool:
        """Whether anything changed."""
        return any(s.new or s.changed or s.readers_changed or s.deleted for s in self.sources)

    def as_json(self) -> dict[str, object]:
        """What `rungwise ingest --json` prints."""
        rate = self.passages / self.seconds if self.seconds else 0.0
        return {
            "sources": [_as_json(source) for source in self.sources],
            "passages": self.passages,
            "seconds": round(self.seconds, 3),
            "passages_per_second": round(rate, 2),
            "left_out": self.left_out,
            "ok": self.ok,
        }


def _as_json(source: SourceReport) -> dict[str, object]:
    fields: dict[str, object] = msgspec.to_builtins(source)
    rate = source.passages / source.seconds if source.seconds else 0.0
    return {**fields, "seconds": round(source.seconds, 3), "passages_per_second": round(rate, 2)}
