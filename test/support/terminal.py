"""terminal.py ROWS COLUMNS COMMAND...: runs a command on a terminal of its own.

What it prints goes to standard output; whether it left the terminal's modes changed, to standard error. JSON lines on
standard input steer it: {"type": text} and {"resize": [rows, columns]}.
"""

import fcntl
import json
import os
import pty
import select
import struct
import sys
import termios


def resize(terminal: int, rows: int, columns: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def steer(terminal: int, line: bytes) -> None:
    order = json.loads(line)
    if "type" in order:
        os.write(terminal, order["type"].encode())
    if "resize" in order:
        resize(terminal, *order["resize"])


def relay(terminal: int) -> None:
    waiting = b""
    sources = [terminal, 0]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if terminal in ready:
            try:
                output = os.read(terminal, 65536)
            except OSError:
                return
            if not output:
                return
            os.write(1, output)
        if 0 in ready:
            orders = os.read(0, 65536)
            if not orders:
                sources.remove(0)
            *lines, waiting = (waiting + orders).split(b"\n")
            for line in lines:
                steer(terminal, line)


def main() -> None:
    rows, columns, *command = sys.argv[1:]
    pid, terminal = pty.fork()
    if pid == 0:
        resize(0, int(rows), int(columns))
        os.execvp(command[0], command)
    modes = termios.tcgetattr(terminal)
    relay(terminal)
    _, status = os.waitpid(pid, 0)
    if termios.tcgetattr(terminal) != modes:
        print("the terminal's modes were left changed", file=sys.stderr)
    sys.exit(os.waitstatus_to_exitcode(status))


main()
