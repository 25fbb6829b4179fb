"""Workspace volumes: sparse ext4 images, attached to loop devices and mounted where only one sandbox sees them."""

import errno
import fcntl
import os
import re
import stat
import struct

import kernel

_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE = 0x4C82, 0x4C0A
_LO_FLAGS_READ_ONLY, _LO_FLAGS_AUTOCLEAR = 1, 4
_IMAGE_PATH = re.compile(r"/workspaces/[^/]+/image\.ext4( \(deleted\))?")
MOUNT_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOATIME
MOUNT_OPTIONS = "noinit_itable"
_LOOP_MAJOR = 7
_ATTACH_ATTEMPTS = 64

Extent = tuple[int, bytes]


def image_path(folder: str) -> str:
    return os.path.join(folder, "image.ext4")


class BlankImages:
    """The few data extents of each formatted empty image, kept in memory: a copy is then a handful of writes."""

    def __init__(self) -> None:
        self._extents: dict[str, tuple[int, list[Extent]]] = {}

    def copy(self, blank: str, target: str) -> None:
        size, extents = self._extents.get(blank) or self._load(blank)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, size)
            for offset, data in extents:
                os.pwrite(fd, data, offset)
        finally:
            os.close(fd)

    def _load(self, blank: str) -> tuple[int, list[Extent]]:
        fd = os.open(blank, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            size = os.fstat(fd).st_size
            loaded = (size, _read_extents(fd))
        finally:
            os.close(fd)
        self._extents[blank] = loaded
        return loaded


def _read_extents(fd: int) -> list[Extent]:
    extents: list[Extent] = []
    position = 0
    while True:
        try:
            start = os.lseek(fd, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return extents
            raise
        position = os.lseek(fd, start, os.SEEK_HOLE)
        extents.append((start, os.pread(fd, position - start, start)))


def mount_image(image: str, target: str, name: str, read_only: bool) -> int:
    """Mounts the image in the caller's mount namespace and returns the number of its loop device, which frees
    itself."""
    number, device = attach_image(image, name, read_only)
    try:
        flags = MOUNT_FLAGS | (kernel.MS_RDONLY if read_only else 0)
        kernel.mount(f"/dev/loop{number}", target, "ext4", flags, MOUNT_OPTIONS)
    finally:
        os.close(device)
    return number


def attach_image(image: str, name: str, read_only: bool) -> tuple[int, int]:
    """Number and open descriptor of a loop device that frees itself once neither the descriptor nor a mount holds
    it."""
    backing = os.open(image, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        return _attach(backing, name, read_only)
    finally:
        os.close(backing)


def _attach(backing: int, name: str, read_only: bool) -> tuple[int, int]:
    flags = _LO_FLAGS_AUTOCLEAR | (_LO_FLAGS_READ_ONLY if read_only else 0)
    information = struct.pack("=5Q4I64s64s32s2Q", 0, 0, 0, 0, 0, 0, 0, 0, flags, name.encode(), b"", b"", 0, 0)
    configuration = struct.pack("=2I232s8Q", backing, 0, information, *[0] * 8)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_ATTACH_ATTEMPTS):
            number = fcntl.ioctl(control, _LOOP_CTL_GET_FREE)
            device = _open_device(number, read_only)
            try:
                fcntl.ioctl(device, _LOOP_CONFIGURE, configuration)
                return number, device
            except OSError as error:
                os.close(device)
                if error.errno != errno.EBUSY:
                    raise
        raise OSError(errno.EBUSY, "no free loop device: another process took each one that was offered")
    finally:
        os.close(control)


def _open_device(number: int, read_only: bool) -> int:
    path = f"/dev/loop{number}"
    if not os.path.exists(path):
        os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(_LOOP_MAJOR, number))
    return os.open(path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)


def is_attached(image: str) -> bool:
    """True while some loop device still holds the image: its last writes may not have reached the file."""
    devices = (device for device in os.listdir("/sys/block") if device.startswith("loop"))
    return any(_read_backing_file(device).removesuffix(" (deleted)") == image for device in devices)


def _read_backing_file(device: str) -> str:
    """Empty for a device that holds nothing."""
    try:
        with open(f"/sys/block/{device}/loop/backing_file", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def unmount_workspaces(image: str | None = None) -> None:
    """Unmounts this image, or every workspace image, from the caller's mount namespace.

    An engine that crashed leaves its mounts. And a new namespace copies those of sandboxes that live: it would keep
    their devices.
    """
    for device, folder in _list_loop_mounts():
        backing = _read_backing_file(device)
        wanted = _IMAGE_PATH.search(backing) if image is None else backing.removesuffix(" (deleted)") == image
        if wanted:
            try:
                kernel.unmount(folder)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise


def _list_loop_mounts() -> list[tuple[str, str]]:
    """Device names and mount points, the last mount first."""
    found: list[tuple[str, str]] = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.partition(" - ")
            source = after.split(" ")[1]
            if source.startswith("/dev/loop"):
                found.append((source.removeprefix("/dev/"), _unescape(before.split(" ")[4])))
    return found[::-1]


def _unescape(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)
