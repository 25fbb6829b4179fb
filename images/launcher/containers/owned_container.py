"""One sandbox whose container an engine makes: everything of it on this machine but the container."""

import json
import os
from collections.abc import Callable
from typing import Any, TypedDict

import groups
import kernel
from containers import engine
from containers.container import Container, container_name, seconds_since_boot
from context import Context
from errors import CreateError
from jobs import Answer, run_in_child
from launch import Identity, Launch, Workspace
from owners.evidence import read_start_time
from owners.footprint import Footprint
from owners.records import make_record, run_folders
from sandboxes import make
from workspaces import images

_CREATION_SECONDS = 3.0
"""How long after an owner's death the engine may still be making what that owner asked for."""

Removed = Callable[[CreateError | None], None]


class Hold(TypedDict):
    """What the owner sends (holder.ts); keep the two alike."""

    id: str
    identity: Identity | None
    hasOwnUid: bool
    workspace: Workspace
    runDir: str
    container: dict[str, Any]
    adoption: dict[str, Any] | None


class OwnedContainer:
    def __init__(
        self, context: Context, footprint: Footprint, container: Container, forget: Callable[[str], None]
    ) -> None:
        self.id = footprint.id
        self.container = container
        self.run_dir = footprint.run_dir
        self._context = context
        self._footprint = footprint
        self._forget = forget
        self._device: int | None = None
        self._removing: list[Removed] | None = None

    @property
    def is_removing(self) -> bool:
        return self._removing is not None

    def prepare(self, plan: Hold, identity: Identity | None, done: Callable[[CreateError | None], None]) -> None:
        """Makes workspace and socket ready. Raises CreateError or OSError; the caller then calls `remove`, also after
        an error through `done`."""
        launch = as_launch(plan)
        make.make_workspace(self._context, launch, self._footprint, identity, self.container.generation)
        self._keep_generation(plan["workspace"]["lock"])
        owner = identity or {"uid": os.getuid(), "gid": os.getgid()}
        image, source, is_new = (
            plan["workspace"]["image"],
            plan["workspace"]["source"],
            plan["workspace"]["folder"] is not None,
        )
        read_only = plan["workspace"]["readOnly"]
        workspace: dict[str, Any] = {"kind": "memory", "mode": "memory"}
        if image is not None:
            # Readers share it: then other devices hold the same image.
            self._footprint.image = image if is_new or not read_only else None
            number, self._device = images.attach_image(image, self.id, read_only)
            workspace = {"kind": "loop", "device": f"/dev/loop{number}", "mode": "image", "readOnly": read_only}
        elif source is not None:
            workspace = {"kind": "folder", "path": source, "mode": "polled", "readOnly": read_only}
        if os.path.lexists(os.path.join(plan["runDir"], "host.sock")):
            make.give_socket(launch, identity)
        self.container.held = {**owner, "distinctUid": plan["hasOwnUid"], "workspace": workspace}
        self._write_record()
        if not is_new or source is None:
            done(None)
        elif self._device is None:
            make.give_folder(source, owner)
            done(None)
        else:
            self._give_image(workspace["device"], source, owner, done)

    def start(self, facts: dict[str, Any]) -> None:
        """The container runs: its mount keeps the loop device from now on. Raises ValueError for facts of something
        else."""
        self.container.start(str(facts["containerId"]), str(facts["startedAt"]), facts["cgroups"])
        pid = facts["pid"]
        if pid is not None and self.container.has_member(pid):
            self._footprint.processes = [(pid, read_start_time(pid))]
        if os.getuid() == 0:
            groups.limit_sockets(self.container.cgroups)
        self._write_record()
        self._close_device()

    def facts(self) -> dict[str, Any]:
        """What the owner said when the container had started. No pid where the kernel did not confirm it."""
        pid = self._footprint.processes[0][0] if self._footprint.processes else None
        container = self.container
        return {
            "containerId": container.id,
            "startedAt": container.started_at,
            "pid": pid,
            "cgroups": container.cgroups,
        }

    def let_go(self) -> None:
        """Leaves everything to the next owner."""
        self.container.orphaned_at = seconds_since_boot()
        self._write_record()
        self._close_device()
        self._footprint.release_locks()
        self._forget(self.id)

    def take_over(self) -> None:
        self.container.orphaned_at = None
        self._write_record()

    def remove(self, keep_workspace: bool, container_removed: bool, owner_is_gone: bool, done: Removed) -> None:
        """Later calls wait for the first one. After a failure everything that is left stays recorded, and may be
        removed again."""
        self._footprint.owner_is_gone |= owner_is_gone
        if self._removing is not None:
            self._removing.append(done)
            return
        self._removing = [done]
        self._close_device()

        def remove_rest() -> None:
            self._footprint.remove(self._context, keep_workspace, lambda problem: self._finish(problem, "internal"))

        if container_removed:
            remove_rest()
        else:
            remove_container(
                self._context, self._footprint, remove_rest, lambda problem: self._finish(problem, "engine_unavailable")
            )

    def abandon(self) -> None:
        """Gives the locks back and leaves the record to a reaper."""
        self._footprint.release_locks()
        self._forget(self.id)

    def _finish(self, problem: str | None, code: str) -> None:
        callbacks, self._removing = self._removing or [], None
        if problem is None:
            self._forget(self.id)
        for callback in callbacks:
            callback(None if problem is None else CreateError(code, "remove", problem))

    def _give_image(
        self, device: str, target: str, owner: Identity, done: Callable[[CreateError | None], None]
    ) -> None:
        """The root of the new file system becomes the sandbox's own. The child keeps the device, so that it stays this
        one while it is mounted."""
        assert self._device is not None

        def give() -> Answer:
            kernel.unshare_mounts()
            kernel.mount(device, target, "ext4", images.MOUNT_FLAGS, images.MOUNT_OPTIONS)
            make.give_folder(target, owner)
            kernel.unmount(target)
            return {}

        def given(answer: Answer) -> None:
            error = answer.get("error")
            if self.is_removing:
                error = "it was removed meanwhile"
            done(None if error is None else CreateError("create_failed", "workspace", error))

        run_in_child(self._context.events, give, given, keep=(self._device,))

    def _keep_generation(self, lock: str | None) -> None:
        """An id that lives again over its own workspace counts up in the workspace's owner file."""
        own = os.path.join(self._context.rooms.workspaces, self.id, "owner.json")
        if lock == own:
            file = self._footprint.other_locks[0]
            file.rewrite(json.dumps({**json.loads(file.read()), "generation": self.container.generation}).encode())

    def _write_record(self) -> None:
        assert self._footprint.record is not None
        self._footprint.record.rewrite(json.dumps(make_record(self._context, self._footprint)).encode())

    def _close_device(self) -> None:
        if self._device is not None:
            os.close(self._device)
            self._device = None


def make_owned_container(
    context: Context, plan: Hold, forget: Callable[[str], None]
) -> tuple[OwnedContainer, Identity | None]:
    """Takes the uid and writes the record; nothing else exists yet."""
    workspace = plan["workspace"]
    if plan["container"]["name"] != container_name(plan["id"]) or plan["runDir"] not in run_folders(
        context, plan["id"]
    ):
        raise CreateError("create_failed", "record", "container and socket folder have to bear the sandbox's id")
    container = Container(
        name=plan["container"]["name"],
        socket=plan["container"]["socket"],
        generation=_next_generation(context, plan["id"]),
        held={},
        ended_lock=workspace["lock"],
        shares_lock=workspace["readOnly"],
        adoption=plan["adoption"],
        held_at=seconds_since_boot(),
    )
    footprint, identity = make.make_footprint(context, as_launch(plan), container)
    return OwnedContainer(context, footprint, container, forget), identity


def as_launch(plan: Hold) -> Launch:
    """No process of such a sandbox is ours to start."""
    return {
        "id": plan["id"],
        "arguments": [],
        "command": [],
        "stdin": "",
        "data": [],
        "identity": plan["identity"],
        "groups": [],
        "rlimits": {},
        "hasOwnTerminals": False,
        "tasksAbovePresent": None,
        "workspace": plan["workspace"],
        "runDir": plan["runDir"],
    }


def remove_container(
    context: Context, footprint: Footprint, done: Callable[[], None], failed: Callable[[str], None]
) -> None:
    """Through the engine. When that is silent everything that runs is killed, and the record has to stay."""
    container = footprint.container
    assert container is not None
    if container.socket is None:
        done()
        return
    path, name, id = container.socket, container.name, container.id
    wait_seconds = _CREATION_SECONDS if container.id is None else 0.0

    def answered(answer: Answer) -> None:
        if "error" in answer:
            footprint.kill()
            failed(answer["error"])
        else:
            done()

    run_in_child(
        context.events, lambda: dict(engine.remove_container(path, name, footprint.id, id, wait_seconds)), answered
    )


def _next_generation(context: Context, id: str) -> int:
    try:
        with open(os.path.join(context.rooms.workspaces, id, "owner.json"), encoding="utf-8") as file:
            return int(json.load(file).get("generation", 1)) + 1
    except FileNotFoundError:
        return 1
