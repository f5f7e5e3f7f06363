"""`GET /v1/models`: workloads first, then the candidates that a client may pin, then the embedder's names."""

from collections.abc import Sequence

from fastapi import APIRouter
from pydantic import BaseModel

from rungwise_server.api.caller import CallerOf
from rungwise_server.engine import Engine
from rungwise_server.errors import NotFound


class Model(BaseModel):
    """A name that a client may ask for."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "rungwise"
    kind: str
    """`workload` routes, `candidate` pins, `embedder` is for `/v1/embeddings`."""


class Models(BaseModel):
    """All of them."""

    object: str = "list"
    data: list[Model]


def models_api(engine: Engine, embedders: Sequence[str], created: int) -> APIRouter:
    """The routes. `embedders` are the embedder's names; `created` is when the server started, since a name has no
    date of its own.
    """
    router = APIRouter(tags=["models"])

    def names() -> list[str]:
        return list(dict.fromkeys([*engine.models(), *embedders]))

    def shown(name: str) -> Model:
        kind = "workload" if name in engine.workloads else "candidate" if name in engine.candidates else "embedder"
        return Model(id=name, created=created, kind=kind)

    @router.get("/v1/models")
    async def list_models(caller: CallerOf) -> Models:
        """List what may be asked for as `model`."""
        return Models(data=[shown(name) for name in names()])

    @router.get("/v1/models/{model:path}")
    async def get_model(model: str, caller: CallerOf) -> Model:
        """Retrieve one."""
        if model not in names():
            raise NotFound(f"The model {model!r} does not exist.", param="model", code="model_not_found")
        return shown(model)

    return router
