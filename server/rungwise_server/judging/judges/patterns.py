"""Patterns that no text can make slow.

Answers are hostile, and Python's `re` backtracks: `(a+)+$` takes years for 50 letters, holds the interpreter's lock
meanwhile, and cannot be stopped from another thread. Patterns here are matched by Rust's `regex`, which reads each
character once whatever the pattern; pydantic carries it. It has neither look-around nor back-references, and takes no
pattern whose automaton would be larger than 10 MB: such a pattern is refused as it is opened.
"""

from typing import Annotated

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError


class Pattern:
    """A pattern that is looked for anywhere in a text.

    Raises:
        ValueError: it does not compile; the message is one line.
    """

    def __init__(self, pattern: str) -> None:
        try:
            self._adapter = TypeAdapter[str](Annotated[str, StringConstraints(pattern=pattern)])
        except SchemaError as error:
            raise ValueError(_meant(str(error))) from None

    def found(self, text: str) -> bool:
        """Whether it stands in `text`."""
        try:
            self._adapter.validate_python(text)
        except ValidationError:
            return False
        return True


def _meant(told: str) -> str:
    """The last line says what is wrong; those before it draw where."""
    last = told.strip().splitlines()[-1].strip()
    return last.removeprefix("SchemaError:").removeprefix("error:").strip().rstrip(".")
