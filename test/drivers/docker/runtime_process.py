"""A runtime's own process in a container, which becomes the command last of all. It stops itself before it protects
anything.

Arguments: uid, and whether it protects at all (`confined` or `bare`).
"""

import ctypes
import os
import signal
import sys

PR_SET_NAME, PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 15, 22, 24, 38
SECCOMP_MODE_FILTER, BPF_RET, SECCOMP_RET_ALLOW = 2, 0x06, 0x7FFF0000
LAST_CAPABILITY = 63

libc = ctypes.CDLL(None, use_errno=True)


class Instruction(ctypes.Structure):
    _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint32)]


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Instruction))]


def confine(uid: int) -> None:
    for capability in range(LAST_CAPABILITY + 1):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    allow = (Instruction * 1)(Instruction(BPF_RET, 0, 0, SECCOMP_RET_ALLOW))
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Program(1, allow)), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no filter")


libc.prctl(PR_SET_NAME, b"runc:[2:INIT]", 0, 0, 0)
os.kill(os.getpid(), signal.SIGSTOP)
if sys.argv[2] == "confined":
    confine(int(sys.argv[1]))
os.execv("/bin/sleep", ["/bin/sleep", "1000"])
