"""Threads, processes, event loop, temporary files, locks, a database, sockets and affinity: prints "fine"."""

import asyncio
import concurrent.futures
import fcntl
import ipaddress
import mmap
import multiprocessing
import os
import platform
import pty
import resource
import select
import selectors
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import zipfile


def square(number):
    return number * number


def use_processes():
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        assert list(threads.map(square, range(50))) == [n * n for n in range(50)]
    for method in ("fork", "forkserver"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(square, range(5)) == [0, 1, 4, 9, 16]
    assert (
        subprocess.run("echo hi | tr a-z A-Z", shell=True, capture_output=True, text=True, check=True).stdout == "HI\n"
    )
    assert (
        subprocess.run(["/bin/true"], start_new_session=True, preexec_fn=lambda: os.nice(1), check=True).returncode == 0
    )
    leader, follower = pty.openpty()
    os.write(leader, b"typed\n")
    assert os.read(follower, 100) == b"typed\n"


async def use_event_loop():
    async def echo(reader, writer):
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"line\n")
    assert await reader.readline() == b"line\n"
    process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    assert (await process.communicate(b"data"))[0] == b"data"
    await asyncio.wait_for(asyncio.to_thread(time.sleep, 0.001), 5)
    writer.close()
    server.close()


def use_files():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "a")
        with open(path, "w+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(b"x" * 8192)
            file.flush()
            os.fsync(file.fileno())
            assert mmap.mmap(file.fileno(), 8192)[:1] == b"x"
            os.posix_fallocate(file.fileno(), 0, 16384)
        shutil.copy2(path, path + "2")
        os.link(path, path + "3")
        os.mkfifo(os.path.join(folder, "fifo"))
        os.utime(path, (1_000_000_000, 1_000_000_000))
        assert isinstance(os.listxattr(path), list)
        with zipfile.ZipFile(path + ".zip", "w") as archive:
            archive.write(path)
        database = sqlite3.connect(path + ".db")
        database.execute("pragma journal_mode=wal")
        database.execute("create table t (n)")
        database.executemany("insert into t values (?)", [(n,) for n in range(100)])
        database.commit()
        assert database.execute("select sum(n) from t").fetchone() == (4950,)
    with open(os.memfd_create("m"), "w") as memory:
        memory.write("x")


def use_sockets():
    assert {name for _, name in socket.if_nameindex()} >= {"lo"}
    left, right = socket.socketpair()
    socket.send_fds(left, [b"x"], [0])
    assert socket.recv_fds(right, 1, 1)[0] == b"x"
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as datagram:
        datagram.bind(("::1", 0))
    assert socket.getaddrinfo("localhost", 80)
    assert ipaddress.ip_address("127.0.0.1").is_loopback


def use_limits():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.setpriority(os.PRIO_PROCESS, 0, 5)
    fired = threading.Event()
    signal.signal(signal.SIGALRM, lambda *_: fired.set())
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    assert fired.wait(5)
    os.eventfd(1)
    assert isinstance(selectors.DefaultSelector(), selectors.EpollSelector)
    assert select.select([], [1], [], 0) == ([], [1], [])
    assert platform.system() == "Linux" and len(os.urandom(8)) == 8


if __name__ == "__main__":
    use_processes()
    asyncio.run(use_event_loop())
    use_files()
    use_sockets()
    use_limits()
    print("fine")
