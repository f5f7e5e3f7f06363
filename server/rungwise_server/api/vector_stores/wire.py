"""The wire of `/v1/vector_stores`: what clients send, checked, and what they get, as OpenAI's clients parse it."""

from typing import Annotated, Literal, Self

from fastapi import Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, StrictBool, model_validator

from rungwise_server.vector_stores import PASSAGE_TOKENS, READERS, ErrorCode, FileStatus, readers_in

MOST_FILES = 2000
"""Files in one request."""


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no Unicode") from None
    return text


def _readers(metadata: dict[str, str]) -> dict[str, str]:
    try:
        readers_in(metadata)
    except ValueError as error:
        raise ValueError(f"`{READERS}`: {error}, with commas between several") from None
    return metadata


Text = Annotated[str, AfterValidator(_unicode)]
Key = Annotated[Text, Field(min_length=1, max_length=64)]
Words = Annotated[Text, Field(max_length=512)]
Id = Annotated[Text, Field(min_length=1, max_length=128)]
Metadata = Annotated[dict[Key, Words], Field(max_length=16), AfterValidator(_readers)]
Value = StrictBool | FiniteFloat | Words
Attributes = Annotated[dict[Key, Value], Field(max_length=16)]
Order = Literal["asc", "desc"]
Limit = Annotated[int, Query(ge=1, le=100)]


class Asked(BaseModel):
    """A part of a request. What we do not know is refused by its name."""

    model_config = ConfigDict(extra="forbid")


class ExpiresAfter(Asked):
    """When a store expires: so many days after it was last searched or changed."""

    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class AutoChunking(Asked):
    """Passages as this server makes them."""

    type: Literal["auto"]


class StaticSizes(Asked):
    """Sizes in tokens."""

    max_chunk_size_tokens: int = Field(ge=100, le=4096, strict=True)
    chunk_overlap_tokens: int = Field(ge=0, strict=True)

    @model_validator(mode="after")
    def _half(self) -> Self:
        if self.chunk_overlap_tokens * 2 > self.max_chunk_size_tokens:
            raise ValueError("chunk_overlap_tokens must not exceed half of max_chunk_size_tokens")
        return self


class StaticChunking(Asked):
    """Passages of a size of the client's own: at most 200 tokens, which is what the embedder reads, and without
    overlap, because each carries its title and headings. The answer says what was made of it.
    """

    type: Literal["static"]
    static: StaticSizes


Chunking = Annotated[AutoChunking | StaticChunking, Field(discriminator="type")]


def chunk_tokens(chunking: AutoChunking | StaticChunking | None, otherwise: int = PASSAGE_TOKENS) -> int:
    """The longest passage that is made where `chunking` is asked for."""
    if isinstance(chunking, StaticChunking):
        return min(chunking.static.max_chunk_size_tokens, PASSAGE_TOKENS)
    return PASSAGE_TOKENS if chunking else otherwise


class CreateStore(Asked):
    """A new store. `metadata.readers` shares it, to be read and searched: principals with commas between them."""

    name: Annotated[Text, Field(max_length=256)] | None = None
    description: Words | None = None
    file_ids: Annotated[list[Id], Field(max_length=MOST_FILES)] | None = None
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None
    chunking_strategy: Chunking | None = None


class UpdateStore(Asked):
    """What is to change; what is not there stays, null empties."""

    name: Annotated[Text, Field(max_length=256)] | None = None
    metadata: Metadata | None = None
    expires_after: ExpiresAfter | None = None


class AddFile(Asked):
    """A file for a store."""

    file_id: Id
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None


class UpdateFile(Asked):
    """New attributes, in place of all that were."""

    attributes: Attributes | None


class AddFiles(Asked):
    """Several files: either `file_ids`, which share what else is given, or `files`, each with its own."""

    file_ids: Annotated[list[Id], Field(min_length=1, max_length=MOST_FILES)] | None = None
    files: Annotated[list[AddFile], Field(min_length=1, max_length=MOST_FILES)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Chunking | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.file_ids is None) == (self.files is None):
            raise ValueError("give either 'file_ids' or 'files'")
        if self.files is not None and (self.attributes or self.chunking_strategy):
            raise ValueError("with 'files', attributes and chunking_strategy belong to each of them")
        return self

    def each(self) -> list[AddFile]:
        """One by one, no file twice."""
        asked = self.files or [
            AddFile(file_id=id, attributes=self.attributes, chunking_strategy=self.chunking_strategy)
            for id in self.file_ids or ()
        ]
        return list({file.file_id: file for file in asked}.values())


class RankingOptions(Asked):
    """There is one ranker, by meaning and by words; its scores are from 0 to 1."""

    ranker: Literal["none", "auto", "default-2024-11-15"] = "auto"
    score_threshold: float = Field(0.0, ge=0, le=1)


class SearchStore(Asked):
    """A search. Several queries give one list: each passage with the best of its scores."""

    query: Annotated[Text, Field(min_length=1)] | Annotated[list[Text], Field(min_length=1, max_length=16)]
    filters: dict[str, JsonValue] | None = None
    max_num_results: int = Field(10, ge=1, le=50)
    ranking_options: RankingOptions | None = None
    rewrite_query: bool = False


class Counts(BaseModel):
    """Files by status."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    total: int = 0


class StoreOut(BaseModel):
    """A vector store."""

    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None = None
    usage_bytes: int
    file_counts: Counts
    status: Literal["in_progress", "completed"]
    expires_after: ExpiresAfter | None = None
    expires_at: int | None = None
    last_active_at: int
    metadata: dict[str, str]


class StoreDeleted(BaseModel):
    """It is gone."""

    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: bool = True


class StoreList(BaseModel):
    """A page of stores."""

    object: Literal["list"] = "list"
    data: list[StoreOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


class LastError(BaseModel):
    """Why a file is not in the store."""

    code: ErrorCode
    message: str


class SizesOut(BaseModel):
    """Sizes in tokens, as they were made."""

    max_chunk_size_tokens: int
    chunk_overlap_tokens: int = 0


class ChunkingOut(BaseModel):
    """How a file was cut."""

    type: Literal["static"] = "static"
    static: SizesOut


class FileOut(BaseModel):
    """A file in a store."""

    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    usage_bytes: int
    created_at: int
    vector_store_id: str
    status: FileStatus
    last_error: LastError | None
    attributes: dict[str, str | float | bool]
    chunking_strategy: ChunkingOut


class FileRemoved(BaseModel):
    """It left the store; the file itself stays."""

    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: bool = True


class FileList(BaseModel):
    """A page of files."""

    object: Literal["list"] = "list"
    data: list[FileOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


class BatchOut(BaseModel):
    """Files that came together."""

    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: FileStatus
    file_counts: Counts


class Content(BaseModel):
    """A passage's text."""

    type: Literal["text"] = "text"
    text: str


class ContentPage(BaseModel):
    """The text of a file, as it was parsed and cut."""

    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    file_id: str
    filename: str
    attributes: dict[str, str | float | bool]
    data: list[Content]
    has_more: bool = False
    next_page: str | None = None


class Found(BaseModel):
    """A passage that was found."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, str | float | bool]
    content: list[Content]


class FoundPage(BaseModel):
    """What was found, best first."""

    object: Literal["vector_store.search_results.page"] = "vector_store.search_results.page"
    search_query: list[str]
    data: list[Found]
    has_more: bool = False
    next_page: str | None = None
