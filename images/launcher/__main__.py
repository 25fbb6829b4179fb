"""The launcher: the one part of the host that is not TypeScript. It becomes bubblewrap once per sandbox, and it holds
the owner's locks.

It speaks length-prefixed JSON on standard input and output, ends when its owner does, and takes every sandbox with it.
"""

import gc
import os
import signal
import sys

import kernel
from events import Events
from service import Service, ignore_terminal_signals
from wire import Wire


def main() -> None:
    os.closerange(3, 2**31 - 1)
    os.umask(0o022)
    ignore_terminal_signals()
    kernel.set_child_subreaper()
    events = Events()
    wire = Wire(0, 1)
    service = Service(events, wire)
    _stop_on_termination(events, service)
    events.watch(wire.read_fd, service.on_readable)
    wire.send({"event": "ready", "python": list(sys.version_info[:3]), "pid": os.getpid()})
    # What is loaded by now stays: children that collect garbage would only copy its pages.
    gc.freeze()
    while not service.finished:
        events.turn()
    service.close()


def _stop_on_termination(events: Events, service: Service) -> None:
    """SIGTERM also comes from the kernel when the owner dies: the second line behind the end of standard input."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def on_signal() -> None:
        if signal.SIGTERM in os.read(read, 64):
            service.stop()

    events.watch(read, on_signal)
    kernel.set_parent_death_signal(signal.SIGTERM)


main()
