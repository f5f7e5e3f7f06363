"""The door to jsonschema: whether an answer is JSON that holds to a schema.

The schema is the operator's, the answer hostile: nothing is fetched for a `$ref`, patterns and repeated items are
looked for in linear time, and an answer over `LONGEST` or nested too deep does not hold.
"""

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rungwise_server.judging.judges.patterns import Pattern

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

LONGEST = 1_000_000
"""Characters of an answer that is looked at."""


class Schema:
    """A JSON Schema, of the draft that its `$schema` names, else the newest.

    Raises:
        ValueError: `text` is no JSON Schema, or refers to one elsewhere; the message is one line.
    """

    def __init__(self, text: str) -> None:
        import jsonschema
        from jsonschema.validators import extend, validator_for
        from referencing import Registry

        try:
            schema = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is no JSON: {error}") from None
        if not isinstance(schema, dict | bool):
            raise ValueError("is no JSON Schema: it must be an object")
        kind = validator_for(schema, default=jsonschema.Draft202012Validator)
        try:
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise ValueError(f"is no JSON Schema: {error.message} at {error.json_path}") from None
        patterns = dict(_patterns(schema))
        linear = extend(
            kind,
            {
                "pattern": _pattern(patterns),
                "patternProperties": _pattern_properties(patterns),
                "uniqueItems": _unique_items,
            },
        )
        self._validator: Validator = linear(schema, registry=Registry())

    def fault(self, answer: str) -> str:
        """What is wrong with an answer, in words; empty where it holds."""
        from jsonschema.exceptions import best_match
        from referencing.exceptions import Unresolvable

        if len(answer) > LONGEST:
            return f"it is longer than {LONGEST:,} characters"
        try:
            value = json.loads(answer, parse_constant=_refused, parse_float=_number)
            wrong = best_match(self._validator.iter_errors(value))
        except ValueError as error:
            return f"it is no JSON: {error}"
        except RecursionError:
            return "it is nested too deep"
        except Unresolvable as error:
            return f"the schema refers to {error.ref!r}, which is not in it"
        return f"{wrong.message[:300]} (at {wrong.json_path})" if wrong is not None else ""


def _refused(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _number(text: str) -> int | float:
    """1.0 is the whole number 1, as JSON Schema has it."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _patterns(schema: object) -> Iterator[tuple[str, Pattern]]:
    """Every pattern of a schema, compiled. Raises ValueError naming the one that does not."""
    found: list[object] = []
    if isinstance(schema, dict):
        names = schema.get("patternProperties")
        texts = [schema.get("pattern"), *(names if isinstance(names, dict) else ())]
        for text in texts:
            if isinstance(text, str):
                try:
                    yield text, Pattern(text)
                except ValueError as error:
                    raise ValueError(f"has the pattern {text!r}: {error}") from None
        found = list(schema.values())
    elif isinstance(schema, list):
        found = schema
    for part in found:
        yield from _patterns(part)


# jsonschema's own signature of a keyword: the validator, the keyword's value, the instance, the schema it stands in.


def _pattern(patterns: Mapping[str, Pattern]) -> Any:
    def check(validator: Any, pattern: str, instance: object, schema: object) -> Iterator[Any]:
        from jsonschema import ValidationError

        if isinstance(instance, str) and not patterns[pattern].found(instance):
            yield ValidationError(f"{instance[:100]!r} does not match {pattern!r}")

    return check


def _pattern_properties(patterns: Mapping[str, Pattern]) -> Any:
    def check(validator: Any, named: Mapping[str, object], instance: object, schema: object) -> Iterator[Any]:
        if isinstance(instance, dict):
            for pattern, below in named.items():
                for key, value in instance.items():
                    if patterns[pattern].found(key):
                        yield from validator.descend(value, below, path=key, schema_path=pattern)

    return check


def _unique_items(validator: Any, wanted: object, instance: object, schema: object) -> Iterator[Any]:
    """By what items look like: holding each against each takes minutes for the items of one long answer."""
    from jsonschema import ValidationError

    items = instance if wanted is True and isinstance(instance, list) else []
    if len({json.dumps(item, sort_keys=True) for item in items}) < len(items):
        yield ValidationError("an item stands there twice")
