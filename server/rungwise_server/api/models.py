"""`GET /v1/models`: workloads first, then the candidates that a client may pin."""

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
    """`workload` routes, `candidate` pins."""


class Models(BaseModel):
    """All of them."""

    object: str = "list"
    data: list[Model]


def models_api(engine: Engine, created: int) -> APIRouter:
    """The routes. `created` is when the server started, since a name has no date of its own."""
    router = APIRouter(tags=["models"])

    def shown(name: str) -> Model:
        return Model(id=name, created=created, kind="workload" if name in engine.workloads else "candidate")

    @router.get("/v1/models")
    async def list_models(caller: CallerOf) -> Models:
        """List what may be asked for as `model`."""
        return Models(data=[shown(name) for name in engine.models()])

    @router.get("/v1/models/{model:path}")
    async def get_model(model: str, caller: CallerOf) -> Model:
        """Retrieve one."""
        if model not in engine.models():
            raise NotFound(f"The model {model!r} does not exist.", param="model", code="model_not_found")
        return shown(model)

    return router
