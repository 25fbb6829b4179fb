"""What `tar_in` leaves out: entries by their path, links, and what the tree would execute in a new way."""

from __future__ import annotations

from ..access.names import show
from ..contract import TYPE_CHECKING
from .entries import MAX_ENTRIES, find_escape, refuse
from .format import HARD_LINK, SYMLINK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .entries import Entry
    from .standing import StandingTree

MAX_LISTED_BYTES = 4096
"""Of listed paths; a character may become six bytes of the one control message that takes them."""


class Withheld:
    """Without patterns nothing is left out."""

    def __init__(self, patterns: Sequence[str] | None, allowed: Sequence[str], root_fd: int) -> None:
        self.paths: list[str] = []
        self.listed_bytes = 0
        self.more = 0
        self.allowed = allowed
        self.standing: StandingTree | None = None
        if patterns is not None:
            import re

            from .standing import StandingTree

            self.patterns = [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
            self.standing = StandingTree(root_fd)

    def takes(self, entry: Entry) -> bool:
        if self.standing is None or not entry.names or not self.is_unwanted(entry, self.standing):
            return False
        path = show(b"/".join(entry.names))
        self.listed_bytes += len(path)
        if self.listed_bytes <= MAX_LISTED_BYTES:
            self.paths.append(path)
        else:
            self.more += 1
            if self.more > MAX_ENTRIES:
                raise refuse(entry.header.path, f"more than {MAX_ENTRIES} entries")
        return True

    def is_unwanted(self, entry: Entry, standing: StandingTree) -> bool:
        kind = entry.header.kind
        if kind == SYMLINK and find_escape(entry.header.link, len(entry.names) - 1) is not None:
            return True
        if kind == HARD_LINK:
            return not (self.allows(entry.names) and self.allows(entry.link_names))
        if self.allows(entry.names):
            return False
        return kind == SYMLINK or self.matches(entry.names) or standing.would_run(entry)

    def allows(self, names: list[bytes]) -> bool:
        path = show(b"/".join(names))
        return any(one in (".", path) or path.startswith(f"{one}/") for one in self.allowed)

    def matches(self, names: list[bytes]) -> bool:
        path = show(b"/".join(names))
        return any(pattern.search(path) for pattern in self.patterns)
