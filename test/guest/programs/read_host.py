import os

paths = [
    "/etc/shadow",
    "/root",
    "/home",
    "/var/lib",
    "/sys/kernel",
    "/proc/kcore",
    "/proc/kallsyms",
    "/proc/1/environ",
    "/proc/1/root/etc/hostname",
    "/proc/sysrq-trigger",
]
for path in paths:
    try:
        if os.path.isdir(path):
            print("LISTED", path, os.listdir(path))
        else:
            with open(path, "rb") as file:
                print("READ", path, file.read(4096))
    except OSError as error:
        print("refused", path, error.strerror)
for pid in os.listdir("/proc"):
    for name in ("environ", "cmdline"):
        try:
            with open(f"/proc/{pid}/{name}", "rb") as file:
                print(file.read())
        except OSError:
            pass
for fd in os.listdir("/proc/self/fd"):
    print("fd", fd)
for root, dirs, files in os.walk("/", followlinks=False):
    if root.startswith(("/proc", "/usr", "/dev")):
        dirs.clear()
        continue
    for name in files:
        path = os.path.join(root, name)
        try:
            with open(path, "rb") as file:
                content = file.read(65536)
        except OSError:
            continue
        if b"CANARY" in content and path != __file__:
            print("CANARY FILE", path)
