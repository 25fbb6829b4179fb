"""Rich outputs by MIME type: of a value, of `display(...)`, and matplotlib's figures."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Iterator

from .payload import Payload
from .result import format_value

METHODS = {
    "_repr_html_": "text/html",
    "_repr_png_": "image/png",
    "_repr_jpeg_": "image/jpeg",
    "_repr_svg_": "image/svg+xml",
    "_repr_markdown_": "text/markdown",
    "_repr_latex_": "text/latex",
    "_repr_json_": "application/json",
}


class Display:
    """`display(...)`: sends each object's rich forms, or its text where it has none."""

    def __init__(self, payload: Payload) -> None:
        self.payload = payload

    def __call__(self, *values: object) -> None:
        for value in values:
            if not self.send_forms(value):
                self.payload.send_rich("text/plain", format_value(value)[0].encode("utf-8", "backslashreplace"))

    def send_forms(self, value: object) -> bool:
        """Sends what the object offers besides text; an object whose methods fail offers nothing."""
        has_sent = False
        for mime, content in read_forms(value):
            data = encode_form(mime, content)
            if data is not None:
                self.payload.send_rich(mime, data)
                has_sent = True
        return has_sent

    def send_figures(self) -> None:
        """Sends and closes what pyplot holds open; does nothing where pyplot was never loaded."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is None or not hasattr(pyplot, "get_fignums"):
            return
        for number in pyplot.get_fignums():
            figure = pyplot.figure(number)
            picture = io.BytesIO()
            figure.savefig(picture, format="png", bbox_inches="tight")
            pyplot.close(figure)
            self.payload.send_rich("image/png", picture.getvalue())


def read_forms(value: object) -> Iterator[tuple[str, object]]:
    """Looked up on the type: an instance with a catch-all `__getattr__` claims every method."""
    bundle = call_method(value, "_repr_mimebundle_")
    bundle = bundle[0] if isinstance(bundle, tuple) and bundle else bundle
    forms = (
        {mime: content for mime, content in bundle.items() if mime != "text/plain"} if isinstance(bundle, dict) else {}
    )
    yield from forms.items()
    for name, mime in METHODS.items():
        if mime not in forms:
            content = call_method(value, name)
            yield mime, content[0] if isinstance(content, tuple) and content else content


def call_method(value: object, name: str) -> object:
    if isinstance(value, type) or not callable(getattr(type(value), name, None)):
        return None
    try:
        return getattr(value, name)()
    except Exception:
        return None


def encode_form(mime: str, content: object) -> bytes | None:
    """Text stays text, except that a picture given as text is base64 (what Jupyter's protocol carries)."""
    try:
        if isinstance(content, (bytes, bytearray, memoryview)):
            return bytes(content)
        if isinstance(content, str):
            if mime.startswith("image/") and mime != "image/svg+xml":
                return base64.b64decode(content)
            return content.encode("utf-8", "backslashreplace")
        return None if content is None else json.dumps(content).encode()
    except (TypeError, ValueError):
        return None
