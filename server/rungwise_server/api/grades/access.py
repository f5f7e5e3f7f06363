"""Who may grade."""

from collections.abc import Collection, Mapping

from rungwise_server.errors import Forbidden
from rungwise_server.protocols import KeyRing
from rungwise_server.types import Caller


class Access:
    """Admins grade every workload, and the principals in `graders` theirs; while no key exists everyone does, for only
    this machine can ask.
    """

    def __init__(self, keys: KeyRing, graders: Mapping[str, Collection[str]]) -> None:
        self._keys = keys
        self._graders = graders

    async def everything(self, caller: Caller) -> bool:
        """Whether the caller grades every workload, those that are no longer configured included."""
        return caller.admin or not await self._keys.any()

    async def grades(self, caller: Caller, workload: str) -> bool:
        """Whether the caller grades a workload."""
        return not caller.principals.isdisjoint(self._graders.get(workload, ())) or await self.everything(caller)

    async def need(self, caller: Caller, workload: str = "") -> None:
        """Raises Forbidden unless the caller grades the workload, or without one any."""
        for name in (workload,) if workload else self._graders:
            if await self.grades(caller, name):
                return
        if not await self.everything(caller):
            raise Forbidden(
                f"You do not grade {f'the workload {workload!r}' if workload else 'any workload'}. Whoever runs this "
                f"server names graders in rungwise.yaml, under `workloads.{workload or 'NAME'}.graders`: a group, or "
                "`user:NAME`. Keys made with `--admin` grade everything."
            )
