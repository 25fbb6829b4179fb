import ctypes
import os
import signal
import sys

libc = ctypes.CDLL(None, use_errno=True)
fatal = (signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGHUP)
for number in fatal if "spare-init" not in sys.argv else ():
    try:
        os.kill(1, number)
        print("sent", number)
    except OSError as error:
        print("refused", number, error.strerror)
for path in ("/proc/1/mem", "/proc/1/environ", "/proc/1/maps", "/proc/1/fd", "/proc/1/cwd"):
    try:
        if path.endswith("fd"):
            names = os.listdir(path)
            print("listed", path, names)
            for name in names:
                try:
                    print("OPENED", path, name, os.open(f"{path}/{name}", os.O_RDONLY | os.O_NONBLOCK))
                except OSError as error:
                    print("refused", path, name, error.strerror)
        elif path.endswith("cwd"):
            print("OPENED", path, os.listdir(path))
        else:
            with open(path, "r+b" if path.endswith("mem") else "rb", buffering=0) as file:
                print("OPENED", path, file.read(16))
    except OSError as error:
        print("refused", path, error.strerror)
limit = (ctypes.c_ulong * 2)(0, 0)
print("prlimit", libc.syscall(302, 1, 0, ctypes.byref(limit), None), os.strerror(ctypes.get_errno()))
print("ptrace", libc.ptrace(16, 1, None, None), os.strerror(ctypes.get_errno()))
print("sched", libc.sched_setscheduler(1, 5, (ctypes.c_int * 1)(0)), os.strerror(ctypes.get_errno()))
sys.stdout.flush()
os.kill(-1, signal.SIGKILL)
print("survived its own kill of everything else")
