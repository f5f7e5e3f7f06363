"""A parsed document's text, cut into passages that can stand alone and say where they stand.

By headings first: the parser's sections carry the heading path (what llama-index's MarkdownNodeParser finds as well,
but without character offsets), and a small one is joined with its neighbour under the same parent. What is still too
long is cut by llama-index's SentenceSplitter: at paragraphs, else sentences (Chinese and Japanese too), else words.
Passages do not overlap: each carries its title and heading path as context, a citation names one place only, and
every overlapping token would be embedded twice, which is what ingestion waits for.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import groupby, pairwise
from math import ceil
from typing import TYPE_CHECKING

from msgspec import Struct

from rungwise_connectors.types import Parsed, Section
from rungwise_server.filters import Scalar
from rungwise_server.retrieval.indexes.points import passage_id
from rungwise_server.types import Passage

if TYPE_CHECKING:
    from llama_index.core.node_parser import SentenceSplitter

LIMIT = 200
"""Tokens of a passage, title and headings included. They are counted with cl100k (bundled with llama-index, five times
as fast as WordPiece); on English, German, Japanese and Chinese text 200 of them are at most 240 of MiniLM's 256."""

SMALL = LIMIT // 4
"""Fewer tokens than this do not make a passage where a neighbour can take them."""

VERSION = "1"
"""Part of every document's fingerprint: raised when the same text would be cut in another way."""

_HEADER_CHARS = 200
_WINDOW = 20_000
_LONG_SENTENCE = 600
_CJK_SENTENCES = re.compile(r"[^。！？｡]*[。！？｡]+[」』）”’]*\s*|[^。！？｡]+")
_LINES = re.compile(r"[^\n]*\n+|[^\n]+")
_BREAKS = tuple(re.compile(pattern) for pattern in (r"\n\s*\n", r"\n", r"[.!?。！？｡]\s*", r"\s"))
_MARKS = r"[\u0300-\u036f\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u200d\ufe0f]*"
_WORDS = re.compile(rf"[^\s、，；：]{{1,48}}{_MARKS}[、，；：]*\s*|[\s、，；：]+")
"""Words with the white space behind them; a run without any is cut each 48 characters, not before a combining mark."""


class Origin(Struct, frozen=True):
    """What the passages of a document share besides its text."""

    collection: str
    source: str
    document_id: str
    readers: frozenset[str]
    title: str = ""
    url: str = ""
    language: str = ""
    version: str = ""
    attributes: Mapping[str, Scalar] = {}


class _Block(Struct, frozen=True):
    start: int
    end: int
    headings: tuple[str, ...]
    page: int
    tokens: int


def embedding_text(passage: Passage) -> str:
    """What a passage is found by, densely and sparsely: its title, its heading path and its text."""
    header = _header(passage.title, passage.headings)
    return f"{header}\n{passage.text}" if header else passage.text


class Splitter:
    """Cuts documents into passages of at most `limit` tokens, and never more than `LIMIT`. Loads llama-index (seconds)
    when it is first needed.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = min(limit, LIMIT)
        self._header_tokens = self._limit // 3
        self._by_size: dict[int, SentenceSplitter] = {}

    def split(self, parsed: Parsed, origin: Origin) -> list[Passage]:
        """The passages in order, without overlap; each `text` is exactly `parsed.text[start:end]`.

        Raises:
            ValueError: the text is no Unicode (lone surrogates).
        """
        passages = []
        twins: Counter[str] = Counter()
        for block in self._blocks(parsed, origin.title):
            text = parsed.text[block.start : block.end]
            # Not the offset but the count of its twins so far: an id survives edits elsewhere in the document.
            id = passage_id(origin.collection, origin.source, origin.document_id, text, twins[text])
            twins[text] += 1
            passages.append(
                Passage(
                    id=id,
                    document_id=origin.document_id,
                    collection=origin.collection,
                    text=text,
                    readers=origin.readers,
                    title=origin.title,
                    headings=block.headings,
                    page=block.page,
                    start=block.start,
                    end=block.end,
                    url=origin.url,
                    source=origin.source,
                    language=origin.language,
                    version=origin.version,
                    attributes=origin.attributes,
                )
            )
        return passages

    def _blocks(self, parsed: Parsed, title: str) -> Iterator[_Block]:
        sections = parsed.sections or (Section(0, len(parsed.text)),)
        blocks = [block for section in sections if (block := self._trimmed(parsed.text, section))]
        for block in _joined(blocks, self._limit):
            header = self._tokens(_header(title, block.headings))
            budget = self._limit - min(header, self._header_tokens)
            if block.tokens <= budget:
                yield block
            else:
                yield from self._cut(parsed.text, sections, block, budget)

    def _trimmed(self, text: str, section: Section) -> _Block | None:
        body = text[section.start : section.end]
        start = section.start + len(body) - len(body.lstrip())
        body = body.strip()
        if not body:
            return None
        return _Block(start, start + len(body), section.headings, section.page, self._tokens(body))

    def _cut(self, text: str, sections: tuple[Section, ...], block: _Block, budget: int) -> Iterator[_Block]:
        last: _Block | None = None
        for offset, window in _windows(text, block.start, block.end):
            cursor = 0
            for chunk in self._sentences(self._tokens(window), budget).split_text(window):
                start = window.index(chunk, cursor)
                cursor = start + len(chunk)
                page = sections[bisect_right(sections, offset + start, key=lambda section: section.start) - 1].page
                piece = _Block(offset + start, offset + cursor, block.headings, page, self._tokens(chunk))
                if last and min(piece.tokens, last.tokens) < self._limit // 4 and piece.tokens + last.tokens <= budget:
                    piece = _Block(last.start, piece.end, last.headings, last.page, last.tokens + piece.tokens)
                elif last:
                    yield last
                last = piece
        if last:
            yield last

    def _sentences(self, tokens: int, budget: int) -> "SentenceSplitter":
        """A splitter that cuts `tokens` into even parts within `budget`, so that no short tail is left over."""
        even = ceil(1.1 * tokens / ceil(1.05 * tokens / budget))
        size = min(budget, max(even, budget // 2))
        if size not in self._by_size:
            from llama_index.core.node_parser import SentenceSplitter

            self._by_size[size] = SentenceSplitter(
                chunk_size=size,
                chunk_overlap=0,
                paragraph_separator="\n\n",
                chunking_tokenizer_fn=self._to_sentences,
                secondary_chunking_regex=_WORDS.pattern,
                tokenizer=self._encode,
            )
        return self._by_size[size]

    def _to_sentences(self, text: str) -> list[str]:
        """Every character of `text`, in sentences; what is too long for one (lists, tables, code) in lines or words."""
        starts = [start for start, _ in self._punkt(text)]
        bounds = pairwise([0, *starts[1:], len(text)])
        pieces = [sentence for start, end in bounds for sentence in _CJK_SENTENCES.findall(text[start:end])]
        for finer in (_LINES, _WORDS):
            pieces = [part for piece in pieces for part in _finer(finer, piece)]
        return pieces

    @cached_property
    def _punkt(self) -> Callable[[str], Iterator[tuple[int, int]]]:
        from llama_index.core.utils import globals_helper

        spans: Callable[[str], Iterator[tuple[int, int]]] = globals_helper.punkt_tokenizer.span_tokenize
        return spans

    @cached_property
    def _encode(self) -> Callable[[str], list[int]]:
        from llama_index.core.utils import get_tokenizer

        encode: Callable[[str], list[int]] = get_tokenizer()
        return encode

    def _tokens(self, text: str) -> int:
        return len(self._encode(text)) if text else 0


def _finer(pattern: re.Pattern[str], piece: str) -> list[str]:
    return pattern.findall(piece) if len(piece) > _LONG_SENTENCE else [piece]


def _header(title: str, headings: tuple[str, ...]) -> str:
    """Title and heading path, in at most 200 characters: of a longer path the middle is left out first."""
    parts = [part for part, _ in groupby(part.strip()[:_HEADER_CHARS] for part in (title, *headings)) if part]
    while len(parts) > 1 and sum(map(len, parts)) + 3 * len(parts) > _HEADER_CHARS:
        del parts[min(1, len(parts) - 2)]
    return " > ".join(parts)


def _joined(blocks: list[_Block], limit: int) -> list[_Block]:
    """Small blocks joined with the next one beside or below them, or else, where it fits, with the one before."""
    forward: list[_Block] = []
    for block in blocks:
        if forward and forward[-1].tokens < limit // 4 and _related(forward[-1], block):
            forward[-1] = _join(forward[-1], block)
        else:
            forward.append(block)
    both: list[_Block] = []
    for block in forward:
        fits = both and block.tokens < limit // 4 and both[-1].tokens + block.tokens <= limit - limit // 3
        if fits and _related(both[-1], block):
            both[-1] = _join(both[-1], block)
        else:
            both.append(block)
    return both


def _related(one: _Block, two: _Block) -> bool:
    """Whether one stands directly above the other, or both have one parent."""
    return len(_common(one.headings, two.headings)) >= max(len(one.headings), len(two.headings)) - 1


def _join(one: _Block, two: _Block) -> _Block:
    common = _common(one.headings, two.headings)
    below = common == one.headings and one.tokens < two.tokens
    return _Block(one.start, two.end, two.headings if below else common, one.page, one.tokens + two.tokens)


def _common(one: tuple[str, ...], two: tuple[str, ...]) -> tuple[str, ...]:
    length = 0
    while length < min(len(one), len(two)) and one[length] == two[length]:
        length += 1
    return one[:length]


def _windows(text: str, start: int, end: int) -> Iterator[tuple[int, str]]:
    """Pieces of a bounded length, cut at the best place near their end: the work stays linear for hostile input."""
    while end - start > _WINDOW:
        window = text[start : start + _WINDOW]
        cut = next((found for pattern in _BREAKS if (found := _last_end(pattern, window, _WINDOW * 3 // 4))), _WINDOW)
        yield start, text[start : start + cut]
        start += cut
    yield start, text[start:end]


def _last_end(pattern: re.Pattern[str], text: str, start: int) -> int:
    end = 0
    for match in pattern.finditer(text, start):
        end = match.end()
    return end
