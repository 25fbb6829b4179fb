"""What a tree held before an archive: whether an entry of it would make its owner's programs run what is new."""

from __future__ import annotations

import os
import sys

from ..access.paths import open_child
from ..changes.trees import VENV_MARK
from ..contract import TYPE_CHECKING
from .format import FILE

if TYPE_CHECKING:
    from .entries import Entry

ANY_EXECUTE = 0o111
# Of two modules with one name an import takes the first of these.
SEARCH_ORDERS = ((b"/__init__.py", b".py"), (b"", b".js", b".json", b"/index.js"))


class StandingTree:
    """Follows no link. What is created meanwhile counts as well, which withholds more and never less."""

    def __init__(self, root_fd: int) -> None:
        self.root_fd = root_fd
        self.environments: dict[tuple[bytes, ...], bool] = {}

    def would_run(self, entry: Entry) -> bool:
        if self.lies_in_environment(tuple(entry.names[:-1])):
            return True
        if entry.header.kind != FILE:
            return False
        found = self.look(entry.names)
        if found is None:
            return bool(entry.header.mode & ANY_EXECUTE) or self.hides_module(entry.names)
        return bool(entry.header.mode & ~found.st_mode & ANY_EXECUTE)

    def lies_in_environment(self, folder: tuple[bytes, ...]) -> bool:
        known = self.environments.get(folder)
        if known is None:
            known = bool(folder) and self.lies_in_environment(folder[:-1])
            known = known or self.look([*folder, VENV_MARK.encode()]) is not None
            self.environments[folder] = known
        return known

    def hides_module(self, names: list[bytes]) -> bool:
        """Whether an import that found another file, or the standard library, would find this one now."""
        path = b"/".join(names)
        for order in SEARCH_ORDERS:
            for place, suffix in enumerate(order):
                base = path.removesuffix(suffix)
                if not path.endswith(suffix) or (not suffix and b"." in names[-1]):
                    continue
                if any(self.look((base + later).split(b"/")) for later in order[place + 1 :]):
                    return True
        return is_standard(names)

    def look(self, names: list[bytes]) -> os.stat_result | None:
        fd = os.dup(self.root_fd)
        try:
            for name in names[:-1]:
                child = open_child(name, fd)
                os.close(fd)
                fd = child
            return os.stat(names[-1], dir_fd=fd, follow_symlinks=False)
        except OSError:
            return None
        finally:
            os.close(fd)


def is_standard(names: list[bytes]) -> bool:
    if names[-1] == b"__init__.py":
        return len(names) > 1 and os.fsdecode(names[-2]) in sys.stdlib_module_names
    stem = os.fsdecode(names[-1].removesuffix(b".py"))
    return names[-1].endswith(b".py") and stem in sys.stdlib_module_names
