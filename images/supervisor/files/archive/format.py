"""Headers of tar archives: POSIX ustar with pax records, and what GNU tar writes for long names.

Python's tarfile understands more kinds of archive than a sandbox should and costs 2 MiB and 10 ms to import.
"""

from __future__ import annotations

BLOCK_BYTES = 512
ZERO_BLOCK = bytes(BLOCK_BYTES)
MAX_OCTAL = 0o77777777777
NAME_BYTES = 100

FILE, HARD_LINK, SYMLINK, FOLDER = b"0", b"1", b"2", b"5"
PAX_NEXT, PAX_GLOBAL, GNU_LONG_NAME, GNU_LONG_LINK = b"x", b"g", b"L", b"K"


class Broken(ValueError):
    """Not the tar archive that this module can read."""


class Header:
    __slots__ = ("path", "kind", "mode", "size", "mtime", "link")

    def __init__(self, path: bytes, kind: bytes, mode: int, size: int, mtime: int, link: bytes) -> None:
        self.path = path
        self.kind = kind
        self.mode = mode
        self.size = size
        self.mtime = mtime
        self.link = link


def pad_size(size: int) -> int:
    return -size % BLOCK_BYTES


def encode_header(header: Header) -> bytes:
    """The header's blocks. Owner and group are 0 and nameless."""
    records = b""
    if len(header.path) > NAME_BYTES:
        records += encode_record(b"path", header.path)
    if len(header.link) > NAME_BYTES:
        records += encode_record(b"linkpath", header.link)
    if header.size > MAX_OCTAL:
        records += encode_record(b"size", str(header.size).encode())
    if not records:
        return encode_block(header)
    if not is_utf8(records):
        records = encode_record(b"hdrcharset", b"BINARY") + records
    extra = Header(b"././@PaxHeader", PAX_NEXT, 0o644, len(records), 0, b"")
    padding = bytes(pad_size(len(records)))
    return encode_block(extra) + records + padding + encode_block(header)


def encode_block(header: Header) -> bytes:
    size = header.size if header.size <= MAX_OCTAL else 0
    mtime = min(max(header.mtime, 0), MAX_OCTAL)
    fields = b"%b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        header.path[:NAME_BYTES].ljust(NAME_BYTES, b"\0"),
        header.mode,
        0,
        0,
        size,
        mtime,
    )
    rest = header.kind + header.link[:NAME_BYTES].ljust(NAME_BYTES, b"\0") + b"ustar\x0000"
    rest = rest.ljust(BLOCK_BYTES - 156, b"\0")
    checksum = sum(fields) + 8 * 0x20 + sum(rest)
    return b"%b%06o\0 %b" % (fields, checksum, rest)


def encode_record(key: bytes, value: bytes) -> bytes:
    body = b" %b=%b\n" % (key, value)
    length = len(body)
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return b"%d%b" % (length, body)


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def decode_block(block: bytes) -> Header:
    checksum = sum(block) - sum(block[148:156]) + 8 * 0x20
    if cut(block[148:156]).strip(b" ").lstrip(b"0") != b"%o" % checksum:
        raise Broken("not a tar header")
    path = cut(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        path = cut(block[345:500]) + b"/" + path
    return Header(
        path,
        block[156:157],
        decode_number(block[100:108]),
        decode_size(block[124:136]),
        min(decode_number(block[136:148]), MAX_OCTAL),
        cut(block[157:257]),
    )


def cut(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def decode_size(field: bytes) -> int:
    if field[0] == 0xFF:
        raise Broken("a negative size")
    return decode_number(field)


def decode_number(field: bytes) -> int:
    """Octal text, or the base-256 form of GNU tar. Negative times, which only that has, become 0."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    if field[0] == 0xFF:
        return 0
    digits = cut(field).strip(b" ")
    if not digits:
        return 0
    if digits.strip(b"01234567"):
        raise Broken("a number that is not octal")
    return int(digits, 8)


def decode_records(data: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    start = 0
    while start < len(data):
        digits, space, _ = data[start : start + 8].partition(b" ")
        length = int(digits) if digits.isdigit() and space else 0
        record = data[start : start + length]
        key, equals, value = record[len(digits) + 1 : -1].partition(b"=")
        if len(record) != length or not equals or not record.endswith(b"\n"):
            raise Broken("a broken pax header")
        records[key] = value
        start += length
    return records
