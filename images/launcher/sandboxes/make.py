"""Makes the host side of a sandbox: the record first, then workspace, groups and descriptors."""

import errno
import json
import os

import groups
from containers.container import Container
from context import Context
from errors import CreateError
from kernel import fork_into_group
from launch import Identity, Launch
from owners.footprint import Footprint
from owners.locks import LockedFile, write_record
from owners.records import make_record
from sandboxes.child import Surroundings, run_child
from sandboxes.descriptors import Pipes
from workspaces import images
from workspaces.workspace_locks import claim, name_holder


def make_footprint(
    context: Context, plan: Launch, container: Container | None = None
) -> tuple[Footprint, Identity | None]:
    """Claims the workspace that is used again, takes the uid and writes the record; nothing else exists yet."""
    claimed = claim(context, plan["workspace"], plan["identity"], plan["id"])
    try:
        return _make_footprint(context, plan, container, [] if claimed is None else [claimed])
    except BaseException:
        if claimed is not None:
            claimed.release(unlink=False)
        raise


def _make_footprint(
    context: Context, plan: Launch, container: Container | None, claims: list[LockedFile]
) -> tuple[Footprint, Identity | None]:
    identity, uid_lock = plan["identity"], None
    if identity is None and context.pool is not None:
        uid, uid_lock = context.pool.allocate()
        identity = {"uid": uid, "gid": uid}
    ordered = sorted(plan["groups"], key=lambda group: group["join"] != "clone")
    footprint = Footprint(
        id=plan["id"],
        group_paths=[group["path"] for group in ordered],
        processes=[],
        uid=identity["uid"] if uid_lock is not None and identity is not None else None,
        workspace=plan["workspace"]["folder"],
        run_dir=plan["runDir"],
        record=None,
        uid_lock=uid_lock,
        other_locks=claims,
        container=container,
    )
    try:
        if container is not None and uid_lock is not None:
            uid_lock.write(plan["id"].encode())
        footprint.record = write_record(context.rooms.owners, make_record(context, footprint))
    except OSError:
        if uid_lock is not None:
            uid_lock.release(unlink=True)
        raise
    return footprint, identity


def make_workspace(
    context: Context, plan: Launch, footprint: Footprint, identity: Identity | None, generation: int = 1
) -> None:
    workspace = plan["workspace"]
    if workspace["lock"] is not None and not workspace["readOnly"]:
        footprint.image = workspace["image"]
        if workspace["volume"] is not None:
            name_holder(workspace["volume"], footprint.other_locks[0], plan["id"])
    folder = workspace["folder"]
    if folder is None:
        return
    check_space(context)
    os.mkdir(folder, 0o711)
    owner = identity or {"uid": os.getuid(), "gid": os.getgid()}
    mode = "folder" if workspace["blank"] is None else "image"
    with open(os.path.join(folder, "owner.json"), "w", encoding="utf-8") as file:
        json.dump({"id": plan["id"], **owner, "mode": mode, "generation": generation}, file)
    if workspace["blank"] is None:
        os.mkdir(os.path.join(folder, "tree"), 0o700)
    else:
        context.blanks.copy(workspace["blank"], images.image_path(folder))
        os.mkdir(os.path.join(folder, "mount"), 0o700)


def check_space(context: Context) -> None:
    free = os.statvfs(context.rooms.workspaces)
    free_bytes = free.f_bavail * free.f_frsize
    if free_bytes < context.min_free_bytes:
        message = f"{free_bytes} bytes are free for workspaces, at least {context.min_free_bytes} are kept free"
        raise CreateError("no_space", "admission", message)


def give_folder(path: str, owner: Identity) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fchown(fd, owner["uid"], owner["gid"])
        os.fchmod(fd, 0o700)
    finally:
        os.close(fd)


def make_groups(context: Context, plan: Launch) -> None:
    groups.make_groups(plan["groups"], context.parents)


def give_socket(plan: Launch, identity: Identity | None) -> None:
    """The folder becomes traversable and the socket the sandbox's own. No guest can write to either path on the
    host."""
    socket = os.path.join(plan["runDir"], "host.sock")
    os.chmod(plan["runDir"], 0o711)
    if identity is not None:
        os.chown(socket, identity["uid"], identity["gid"], follow_symlinks=False)
    os.chmod(socket, 0o600)


def fork_child(context: Context, plan: Launch, pipes: Pipes, identity: Identity | None) -> int:
    group = next((group["path"] for group in plan["groups"] if group["join"] == "clone"), None)
    born_in_group, pid = False, -1
    if group is not None:
        try:
            pid = fork_into_group(group)
            born_in_group = True
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.EPERM, errno.EINVAL):
                raise
    if pid < 0:
        pid = os.fork()
    if pid == 0:
        run_child(
            plan,
            Surroundings(
                bubblewrap=context.bubblewrap,
                launcher_pid=context.pid,
                identity=identity,
                born_in_group=born_in_group,
                descriptors=pipes.inside,
                error_fd=pipes.errors_write,
            ),
        )
    return pid
