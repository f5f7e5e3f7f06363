"""Documents for tests, made from nothing: small, and broken or hostile on demand."""

import hashlib
import io
import zipfile
from collections.abc import Iterable, Sequence

Line = tuple[float, float, str]
"""A piece of text on a page: x and y in points from the lower left, and the text (Latin-1)."""

_PAD = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")


def pdf(pages: Iterable[Sequence[Line]], title: str = "", password: str = "") -> bytes:
    """A PDF with these pieces of text, in this order, on each page; with a `password`, encrypted (RC4, 40 bits)."""
    contents = [_content(page) for page in pages]
    objects: dict[int, bytes] = {3: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>"}
    owner = _rc4(_md5(_padded(password))[:5], _padded(password))
    key = _md5(_padded(password) + owner + b"\xfc\xff\xff\xff" + _PAD[:16])[:5]
    numbers = []
    for plain in contents:
        stream, page = len(objects) + 3, len(objects) + 4
        content = _rc4(_md5(key + stream.to_bytes(3, "little") + b"\0\0")[:10], plain) if password else plain
        objects[stream] = b"<</Length %d>>stream\n%s\nendstream" % (len(content), content)
        objects[page] = (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>" % stream
        )
        numbers.append(page)
    objects[1] = b"<</Type/Catalog/Pages 2 0 R>>"
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    objects[2] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(numbers), kids)
    trailer = b"/Root 1 0 R"
    if title:
        objects[len(objects) + 1] = b"<</Title(%s)>>" % _escaped(title)
        trailer += b"/Info %d 0 R" % len(objects)
    if password:
        user = _rc4(key, _PAD)
        objects[len(objects) + 1] = b"<</Filter/Standard/V 1/R 2/P -4/O<%s>/U<%s>>>" % (
            owner.hex().encode(),
            user.hex().encode(),
        )
        id = _PAD[:16].hex().encode()
        trailer += b"/Encrypt %d 0 R/ID[<%s><%s>]" % (len(objects), id, id)
    return _file(objects, trailer)


def docx(parts: dict[str, bytes]) -> bytes:
    """A ZIP archive with these members, compressed: what a DOCX is, whatever the members hold."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def repacked(archive: bytes, parts: dict[str, bytes]) -> bytes:
    """`archive` with some of its members replaced."""
    with zipfile.ZipFile(io.BytesIO(archive)) as old:
        return docx({name: old.read(name) for name in old.namelist()} | parts)


def _content(lines: Sequence[Line]) -> bytes:
    pieces = (b"BT /F 11 Tf %.2f %.2f Td (%s) Tj ET" % (x, y, _escaped(text)) for x, y, text in lines)
    return b"\n".join(pieces)


def _escaped(text: str) -> bytes:
    return text.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(objects: dict[int, bytes], trailer: bytes) -> bytes:
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number in range(1, len(objects) + 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, objects[number])
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer<</Size %d%s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, start)
    return bytes(out)


def _padded(password: str) -> bytes:
    return (password.encode("latin-1") + _PAD)[:32]


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _rc4(key: bytes, data: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
