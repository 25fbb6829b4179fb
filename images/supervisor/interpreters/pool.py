"""The interpreters that wait for code: one warm Python and one spare Node.

What guest code could have written into runs no later call.
"""

from __future__ import annotations

from channel.calls import OpError
from interpreters.node_process import NodeProcess
from interpreters.warm_python import WarmPython
from network.relay import Relay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from channel.dialer import Dialer
    from interpreters.asks import Ask
    from loop import Loop
    from processes.ledger import Ledger
    from processes.reaper import Reaper
    from processes.table import ProcessTable
    from settings import Configuration

REPLACE_SPARE_SECONDS = 0.05
MAX_TRIES = 3
"""So many interpreters are asked for one child: a broken one ends whenever it is started."""


class InterpreterPool:
    __slots__ = (
        "_loop", "_dialer", "_ledger", "_table", "_reaper", "_configuration", "_warm", "_spare", "_spare_due",
        "_spare_lost",
    )  # fmt: skip

    def __init__(
        self,
        loop: Loop,
        dialer: Dialer,
        ledger: Ledger,
        table: ProcessTable,
        reaper: Reaper,
        configuration: Configuration,
    ) -> None:
        self._loop = loop
        self._dialer = dialer
        self._ledger = ledger
        self._table = table
        self._reaper = reaper
        self._configuration = configuration
        self._warm: WarmPython | None = None
        self._spare: NodeProcess | None = None
        self._spare_due = False
        self._spare_lost = False
        """One is to be had again once nothing of a call lives."""

    # Settings

    def warm_up(self) -> None:
        """Starts what the settings want ahead of need; a failure shows at the first use."""
        settings = self._configuration.settings
        try:
            if settings.python is not None and settings.python["warm"]:
                self.get_warm()
            if settings.javascript is not None and settings.javascript["warm"]:
                self._refill_spare()
        except OSError as error:
            self._loop.report(error)

    def reconfigure(self) -> None:
        """New settings: interpreters that were started under the old ones are not used any more."""
        self._drop_warm()
        if self._spare is not None:
            self._spare.kill()
            self._spare = None

    # Python

    def get_warm(self) -> WarmPython:
        settings = self._configuration.settings
        if settings.python is None:
            raise OpError("unavailable", "this sandbox has no Python for code")
        if self._warm is not None and self._warm.exposed and self._warm.idle and not self._table.has_guests():
            self._drop_warm()
        if self._warm is None or not self._warm.alive:
            environment = settings.environment(None, 0, {})
            argv, preload = settings.python["argv"], settings.python["preload"]
            self._warm = WarmPython(
                self._loop,
                self._ledger,
                self._reaper,
                argv,
                preload,
                environment,
                self._table.has_guests,
                self._ask_again,
            )
        return self._warm

    def _drop_warm(self) -> None:
        warm, self._warm = self._warm, None
        if warm is not None:
            warm.kill()

    def _ask_again(self, asks: list[Ask]) -> None:
        """Their interpreter is lost."""
        for ask in asks:
            try:
                if ask.tries >= MAX_TRIES:
                    raise OpError("unavailable", "no interpreter stays")
                ask.start_with(self.get_warm())
            except (OpError, OSError):
                ask.fail()

    def child_stopped(self, pid: int) -> None:
        if self._warm is not None and self._warm.pid == pid:
            self._warm.stopped()

    # Node

    def take_node(self, call_id: str, env: Mapping[str, str], rlimits: Mapping[str, int]) -> NodeProcess:
        """The spare, unless limits must be set before Node starts."""
        if self._configuration.settings.javascript is None:
            raise OpError("unavailable", "this sandbox has no Node for code")
        if not rlimits and self._spare is not None and self._spare.alive and not self._spare.exposed:
            node, self._spare = self._spare, None
            node.relay.call_id = call_id
        else:
            node = self._start_node(call_id, env, rlimits)
        return node

    def _start_node(self, call_id: str | None, env: Mapping[str, str], rlimits: Mapping[str, int]) -> NodeProcess:
        settings = self._configuration.settings
        assert settings.javascript is not None
        relay = Relay(self._loop, self._dialer, call_id or "")
        return NodeProcess(
            self._ledger,
            self._reaper,
            relay,
            settings.javascript["argv"],
            settings.environment(call_id, relay.port, env),
            settings.workspace,
            rlimits,
            self._table.has_guests,
        )

    def _refill_spare(self) -> None:
        self._spare_due = False
        if self._table.has_guests():
            self._spare_lost = True
            return
        self._spare_lost = False
        settings = self._configuration.settings
        if settings.javascript is not None and (self._spare is None or not self._spare.alive):
            self._spare = self._start_node(None, {}, {})

    def plan_spare(self) -> None:
        """After a call: not at once, so that the new Node does not compete with it for the processor."""
        if not self._spare_due:
            self._spare_due = True
            self._loop.after(REPLACE_SPARE_SECONDS, self._refill_spare)

    # What the process table tells

    def guest_started(self) -> None:
        if self._warm is not None:
            self._warm.guest_started()
        if self._spare is not None:
            self._spare.exposed = True

    def guest_ended(self) -> None:
        if self._spare is not None and self._spare.exposed:
            self._spare.kill()
            self._spare = None
            self._spare_lost = True
        if self._table.has_guests():
            return
        if self._spare_lost:
            self.plan_spare()
        if self._warm is not None and self._warm.exposed and self._warm.idle:
            self._drop_warm()
            self._loop.after(REPLACE_SPARE_SECONDS, self.warm_up)
