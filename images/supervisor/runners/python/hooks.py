"""What must be changed in two libraries, at once if they are preloaded, otherwise when guest code imports them."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Callable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


Action = Callable[[types.ModuleType], None]


def after_import(actions: dict[str, Action]) -> None:
    pending = {}
    for name, action in actions.items():
        module = sys.modules.get(name)
        if module is None:
            pending[name] = action
        else:
            action(module)
    sys.meta_path.insert(0, PostImportFinder(pending))


class PostImportFinder:
    """Costs one dictionary look-up per import."""

    def __init__(self, pending: dict[str, Action]) -> None:
        self.pending = pending

    def find_spec(
        self, name: str, _path: Sequence[str] | None, _target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        action = self.pending.pop(name, None)
        spec = None if action is None else importlib.util.find_spec(name)
        if action is None or spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_then_act(module: types.ModuleType) -> None:
            execute(module)
            action(module)

        spec.loader.exec_module = execute_then_act  # type: ignore[method-assign]
        return spec


def make_pyplot_action(send_figures: Callable[[], None]) -> Action:
    """`plt.show()` sends the open figures: the Agg backend would only warn."""

    def patch(pyplot: types.ModuleType) -> None:
        pyplot.show = lambda *_args, **_options: send_figures()  # type: ignore[attr-defined]

    return patch


def make_spawn_action(read_main_source: Callable[[], bytes | None]) -> Action:
    """A spawned worker imports `__main__` from a file. The code has none, so it gets a memory file of this process."""

    def patch(spawn: types.ModuleType) -> None:
        prepare = spawn.get_preparation_data

        def get_preparation_data(name: str) -> dict[str, Any]:
            data: dict[str, Any] = prepare(name)
            source = read_main_source()
            data.pop("init_main_from_path", None)
            if source is not None:
                data["init_main_from_path"] = make_source_path(source)
            return data

        spawn.get_preparation_data = get_preparation_data  # type: ignore[attr-defined]

    return patch


def make_source_path(source: bytes) -> str:
    fd = os.memfd_create("main", os.MFD_CLOEXEC)
    with open(fd, "wb", closefd=False) as file:
        file.write(source)
    return f"/proc/{os.getpid()}/fd/{fd}"


def refresh_multiprocessing() -> None:
    """A preloaded multiprocessing remembers the warm interpreter's folder and a key that all forks would share."""
    process = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.ORIGINAL_DIR = os.getcwd()  # type: ignore[attr-defined]
        process.current_process().authkey = os.urandom(32)
