"""Makes each system call named on the command line in a child of its own and prints what became of it.

Argument: a JSON list of [name, number, [arguments]]. Output: a JSON object of name to "ok", an errno's name or a
signal's name. An argument "PATH" stands for a pointer to a path that does not exist yet, "SELF" for the child's process
id.
"""

import ctypes
import errno
import json
import mmap
import os
import signal
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long

GETPID_BY_INT80 = bytes.fromhex("b814000000cd80c3")
EXIT_42 = bytes.fromhex("b801000000bb2a000000cd80")
I386_ELF = (
    bytes.fromhex("7f454c46010101000000000000000000")
    + bytes.fromhex("020003000100000054800408340000000000000000000000340020000100000000000000")
    + b"".join(
        n.to_bytes(4, "little") for n in (1, 0, 0x08048000, 0x08048000, 84 + len(EXIT_42), 84 + len(EXIT_42), 5, 4096)
    )
    + EXIT_42
)


def call(number, arguments):
    values = {"PATH": ctypes.c_char_p(b"/tmp/made"), "SELF": ctypes.c_long(os.getpid())}
    words = [values[a] if isinstance(a, str) else ctypes.c_ulong(a % 2**64) for a in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *words)
    return 0 if result >= 0 else ctypes.get_errno()


def call_int80():
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(GETPID_BY_INT80)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return 0 if ctypes.CFUNCTYPE(ctypes.c_int)(address)() > 0 else errno.EINVAL


def run_i386():
    with open("/tmp/i386", "wb") as file:
        file.write(I386_ELF)
    os.chmod("/tmp/i386", 0o755)
    os.execv("/tmp/i386", ["/tmp/i386"])


SPECIAL = {"int80": call_int80, "i386": run_i386}


def observe(name, number, arguments):
    child = os.fork()
    if child == 0:
        code = 255
        try:
            code = SPECIAL[name]() if name in SPECIAL else call(number, arguments)
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    code = os.WEXITSTATUS(status)
    return "ok" if code == 0 else errno.errorcode.get(code, str(code))


print(json.dumps({case[0]: observe(*case) for case in json.loads(sys.argv[1])}))
