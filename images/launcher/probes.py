"""Probes a mechanism by using it once."""

import os
from collections.abc import Callable

import groups
import kernel
from events import Events
from groups import Group, Parent
from workspaces import images

_RETIRE_ATTEMPTS, _RETIRE_SECONDS = 100, 0.01


def try_groups(events: Events, plan: list[Group], parents: list[Parent]) -> None:
    """Makes the groups of a sandbox, lets a process join them, and removes them again."""
    try:
        groups.ensure_parents(parents)
        groups.make_groups(plan, parents)
        _run_in_child(lambda: _join_all(plan))
    finally:
        _retire(events, [group["path"] for group in plan], _RETIRE_ATTEMPTS)


def try_image(blank: str, folder: str) -> None:
    """Copies a formatted image into the folder and mounts it where nobody else sees it."""
    image, target = images.image_path(folder), os.path.join(folder, "mount")
    images.BlankImages().copy(blank, image)
    os.mkdir(target)
    _run_in_child(lambda: _mount_privately(image, target))


def _join_all(plan: list[Group]) -> None:
    groups.join_by_tasks(plan)
    for group in plan:
        if group["join"] == "clone":
            groups.join_by_procs(group)


def _mount_privately(image: str, target: str) -> None:
    kernel.unshare_mounts()
    images.mount_image(image, target, "probe", read_only=False)


def _run_in_child(work: Callable[[], None]) -> None:
    """Runs `work` in a child and raises what it raised."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except OSError as error:
            os.write(write, f"{error.errno or 0} {error}".encode())
        finally:
            os._exit(0)
    os.close(write)
    text = os.read(read, 4096).decode()
    os.close(read)
    os.waitpid(pid, 0)
    if text:
        number, _, message = text.partition(" ")
        raise OSError(int(number), message)


def _retire(events: Events, paths: list[str], attempts: int) -> None:
    try:
        removed = groups.remove_groups(paths)
    except OSError:
        return
    if not removed and attempts > 0:
        events.later(_RETIRE_SECONDS, lambda: _retire(events, paths, attempts - 1))
