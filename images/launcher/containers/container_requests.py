"""Answers the owner's requests about sandboxes whose containers an engine makes."""

import os
from collections.abc import Callable
from typing import Any, cast

from containers.adoption import adopt
from containers.owned_container import Hold, OwnedContainer, make_owned_container
from context import Context
from errors import CreateError, classify
from jobs import run_in_child
from owners.uids import PoolExhausted
from sandboxes.ptys import bound_terminals, find_instance

Answer = Callable[[dict[str, Any] | CreateError], None]
"""Takes the body of the reply, or the refusal."""


class ContainerRequests:
    def __init__(self, require_context: Callable[[], Context]) -> None:
        self._require_context = require_context
        self._held: dict[str, OwnedContainer] = {}

    @property
    def is_empty(self) -> bool:
        return not self._held

    def hold(self, message: dict[str, Any], answer: Answer) -> None:
        plan = cast(Hold, message["plan"])
        try:
            held, identity = make_owned_container(self._require_context(), plan, self._forget)
        except CreateError as error:
            answer(error)
            return
        except PoolExhausted as error:
            answer(CreateError("capacity", "uid", str(error)))
            return
        except OSError as error:
            answer(classify(error.errno, "record", str(error)))
            return
        self._held[held.id] = held

        def prepared(error: CreateError | None) -> None:
            if error is not None:
                self._undo(held, error, answer)
            else:
                answer({**held.container.held, "generation": held.container.generation})

        try:
            held.prepare(plan, identity, prepared)
        except CreateError as error:
            self._undo(held, error, answer)
        except OSError as error:
            self._undo(held, classify(error.errno, "workspace", str(error)), answer)

    def started(self, message: dict[str, Any], answer: Answer) -> None:
        held = self._held.get(message["id"])
        if held is None or held.is_removing:
            answer(CreateError("sandbox_closed", "started", "it has been removed"))
            return
        try:
            held.start(message["facts"])
        except (ValueError, KeyError, TypeError) as error:
            answer(CreateError("isolation_failed", "started", str(error)))
        except OSError as error:
            answer(CreateError("create_failed", "started", str(error)))
        else:
            self._bound_terminals(held, answer)

    def _bound_terminals(self, held: OwnedContainer, answer: Answer) -> None:
        """Nothing to do where only the engine knows the process, or its kernel is not this one."""
        pid = held.facts()["pid"]
        reply = {"adoptable": held.container.is_adoptable}
        try:
            instance = find_instance(pid) if pid is not None and os.getuid() == 0 else None
        except OSError:
            instance = None  # it has ended, which others notice
        if instance is None:
            answer(reply)
            return

        def bounded(done: dict[str, Any]) -> None:
            answer(CreateError("isolation_failed", "terminals", done["error"]) if "error" in done else reply)

        run_in_child(self._require_context().events, lambda: bound_terminals(pid, instance), bounded)

    def remove(self, message: dict[str, Any], answer: Answer) -> None:
        held = self._held.get(message["id"])
        if held is None:
            answer({})
            return

        def removed(error: CreateError | None) -> None:
            answer({} if error is None else error)

        held.remove(message["keepWorkspace"], message["containerRemoved"], False, removed)

    def adopt(self, message: dict[str, Any], answer: Answer) -> None:
        def taken(outcome: OwnedContainer | CreateError) -> None:
            if isinstance(outcome, CreateError):
                answer(outcome)
                return
            self._held[outcome.id] = outcome
            container = outcome.container
            answer(
                {
                    "held": {**container.held, "generation": container.generation},
                    "facts": outcome.facts(),
                    "payload": (container.adoption or {}).get("payload"),
                    "container": {"name": container.name, "socket": container.socket},
                    "socketDir": outcome.run_dir,
                }
            )

        if message["id"] in self._held:
            answer(CreateError("adoption_refused", "adopt", "its owner lives"))
        else:
            adopt(self._require_context(), message["id"], self._forget, taken)

    def stop(self) -> None:
        """The owner is gone. What may be adopted waits for its next owner, the rest goes."""
        for held in list(self._held.values()):
            if held.container.is_adoptable and not held.is_removing:
                held.let_go()
            else:
                self._remove_for_good(held)

    def _remove_for_good(self, held: OwnedContainer) -> None:
        def removed(error: CreateError | None) -> None:
            if error is not None:
                held.abandon()

        held.remove(False, False, True, removed)

    def _undo(self, held: OwnedContainer, error: CreateError, answer: Answer) -> None:
        """The refusal is sent when nothing is left of the attempt, or says what is. No container can have been asked
        for yet."""

        def removed(problem: CreateError | None) -> None:
            error.left = None if problem is None else str(problem)
            answer(error)

        held.remove(False, True, False, removed)

    def _forget(self, id: str) -> None:
        self._held.pop(id, None)
