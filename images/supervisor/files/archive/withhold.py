"""What `tar_in` leaves out: entries by their path, and links that leave the tree."""

from __future__ import annotations

from ..access.names import show
from ..contract import TYPE_CHECKING
from .entries import MAX_ENTRIES, find_escape, refuse
from .format import HARD_LINK, SYMLINK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .entries import Entry

MAX_LISTED_BYTES = 4096
"""Of listed paths; a character may become six bytes of the one control message that takes them."""


class Withheld:
    """With None nothing is left out."""

    def __init__(self, patterns: Sequence[str] | None) -> None:
        import re

        self.patterns = None if patterns is None else [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
        self.paths: list[str] = []
        self.listed_bytes = 0
        self.more = 0

    def takes(self, entry: Entry) -> bool:
        if self.patterns is None or not self.is_unwanted(entry):
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

    def is_unwanted(self, entry: Entry) -> bool:
        if entry.header.kind == SYMLINK and find_escape(entry.header.link, len(entry.names) - 1) is not None:
            return True
        return self.matches(entry.names) or (entry.header.kind == HARD_LINK and self.matches(entry.link_names))

    def matches(self, names: list[bytes]) -> bool:
        path = show(b"/".join(names))
        return any(pattern.search(path) for pattern in self.patterns or ())
