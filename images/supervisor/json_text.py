"""JSON without the json package, whose import (it pulls in re and enum) would take half of the start-up budget.

The package's own C scanner and encoder are used where the interpreter has them in the known shape, the package
otherwise.
"""

from __future__ import annotations

from cpython import find_json_codec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cpython import Encode, Scan

# SystemError: the scanner wants to raise json.decoder.JSONDecodeError, and finds that nobody imported it
_SCAN_ERRORS = (RecursionError, StopIteration, SystemError, ValueError)


class JsonError(Exception):
    pass


class _ScannerSettings:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name: str) -> object:
        raise ValueError(f"{name} is not JSON")


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is not JSON")


def _make_slow_codec() -> tuple[Scan, Encode]:
    import json

    decoder = json.JSONDecoder(parse_constant=_ScannerSettings.parse_constant)
    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
    return decoder.raw_decode, encoder.encode


_scan, _encode = find_json_codec(_ScannerSettings, _refuse) or _make_slow_codec()


def decode_object(payload: bytes) -> dict[str, object]:
    """The one JSON object that `payload` holds; raises JsonError for anything else."""
    try:
        text = payload.decode("utf-8").strip(" \t\r\n")
        value, end = _scan(text, 0)
    except _SCAN_ERRORS as error:
        raise JsonError(f"not JSON: {type(error).__name__}") from None
    if end != len(text) or not isinstance(value, dict):
        raise JsonError("not one JSON object")
    return value


def encode(value: object) -> bytes:
    """Compact UTF-8; a lone surrogate becomes a question mark."""
    return _encode(value).encode("utf-8", "replace")
