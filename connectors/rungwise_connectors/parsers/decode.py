"""From bytes to text, whatever the encoding."""

import codecs
import re

from rungwise_connectors.types import ParseError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OFFICE = (
    *("cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r"),
    *("cp932", "euc_jp", "iso2022_jp", "gb18030", "big5", "cp949"),
)
"""The encodings that office programs have written; with all of Python's, short texts pass for EBCDIC and worse."""

_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_SAMPLE = 64 * 1024
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def decode(data: bytes, declared: str = "") -> str:
    """The text of `data`, lines ending in a newline alone: by its byte order mark, as UTF-8, as `declared`, or guessed.

    Raises:
        ParseError: it is no text, or in an encoding that cannot be told.
    """
    text = _decode(data, declared)
    if "\x00" in text:
        raise ParseError("is binary, not text (it holds NUL bytes)")
    if len(_CONTROL.findall(text, 0, _SAMPLE)) > max(3, min(len(text), _SAMPLE) // 100):
        raise ParseError("is binary, not text (it is full of control characters)")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decode(data: bytes, declared: str) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            try:
                return data.decode(encoding)
            except UnicodeDecodeError as error:
                raise ParseError(f"is broken {encoding.upper()}: {error.reason} at byte {error.start:,}") from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        first = error.start
    if b"\x00" in data[:_SAMPLE]:
        raise ParseError("is binary, not text (it holds NUL bytes)")
    # A bad byte here and there in UTF-8 is damage, not another encoding.
    lenient = data[:_SAMPLE].decode(errors="replace")
    damaged = lenient.count("\ufffd")
    if len(_BEYOND_ASCII.findall(lenient)) - damaged >= 10 * damaged:
        return data.decode(errors="replace")
    for encoding in (declared, _guess(data[:_SAMPLE])):
        try:
            if encoding:
                return data.decode(encoding)
        except (LookupError, UnicodeError):
            continue
    raise ParseError(f"is in no encoding that can be told (byte {first:,} is not UTF-8): save it as UTF-8")


def _guess(sample: bytes) -> str:
    """The likeliest encoding of `sample`, or nothing."""
    import charset_normalizer

    matches = list(charset_normalizer.from_bytes(sample, cp_isolation=list(_OFFICE)))
    if not matches:
        return ""
    best = matches[0]
    for match in matches:
        # Many single-byte encodings fit short Western text equally well: then the commonest.
        if "cp1252" in match.could_be_from_charset and match.chaos <= best.chaos and match.coherence >= best.coherence:
            return "cp1252"
    return best.encoding
