"""What this package takes from the channel: the call contract, and names for its types."""

from __future__ import annotations

from channel.calls import DRAIN, FRAME, STEP, OpError, Readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Any

    from channel.calls import Call

    Request = dict[str, Any]
    Fields = dict[str, Any]
    Steps = Generator[Any, Any, Fields]
    Operation = Callable[[Call, Request], Steps]

__all__ = ["DRAIN", "FRAME", "STEP", "OpError", "Readable"]
