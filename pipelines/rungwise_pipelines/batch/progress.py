"""What a batch tells a person while it works."""

import time

from rungwise_pipelines.batch.run import Tally
from rungwise_pipelines.progress import Shown


class Progress:
    """A batch's progress, told by `shown`."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown
        self._before = 0
        self._begun = time.monotonic()

    def reading(self, lines: int) -> None:
        """So many lines of the input are checked."""
        if not lines:
            self._shown.begin("lines checked", None)
        self._shown.advance(lines)

    def begin(self, tally: Tally, left: int) -> None:
        """`left` lines are to be done, beside those that `tally` has from earlier runs."""
        self._before, self._begun = tally.done, time.monotonic()
        self._shown.begin("lines", tally.done + left, done=tally.done)

    def advance(self, tally: Tally) -> None:
        """Something has changed."""
        rate = (tally.done - self._before) / max(time.monotonic() - self._begun, 1e-3)
        self._shown.advance(tally.done, f"{rate:.1f}/s, {told(tally)}")

    def end(self) -> None:
        """The run is over."""
        self._shown.end()


def told(tally: Tally) -> str:
    """What was used so far, how many run at once, and what is wrong."""
    parts = [f"{tally.input_tokens:,} + {tally.output_tokens:,} tokens"]
    if tally.cost:
        parts.append(f"cost {tally.cost:,.4f}")
    if tally.failed:
        parts.append(f"{tally.failed:,} failed")
    if tally.running:
        parts.append(f"{tally.running} at once")
    if tally.trouble:
        parts.append(f"retrying: {tally.trouble[:120]}")
    return ", ".join(parts)
