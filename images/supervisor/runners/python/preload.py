"""Imports a template's preload list before anything forks, and touches what those modules load lazily."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


MAX_MESSAGE_CHARS = 300
THREAD_END_TIMEOUT_S = 1.0

# A thread pool does not survive a fork: its locks stay taken for ever in the child. Math libraries read these at import
# and keep the value, so forked runs compute single-threaded, whatever their own environment says.
SINGLE_THREADED = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def preload(names: Sequence[str]) -> dict[str, Any]:
    """Imports each name; returns the failed ones and how many threads are left (1 is the only safe answer)."""
    settings = dict.fromkeys(SINGLE_THREADED, "1") | {"MPLBACKEND": "Agg"}
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    failed = [failure for failure in map(import_one, names) if failure is not None]
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value
    reseed_random()
    return {"failed": failed, "threads": count_threads()}


def reseed_random() -> None:
    """Called before the first fork and after every fork, so that each one starts from entropy of its own and none waits
    for it. `random` needs no help: `os.fork` reseeds it in the child."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()


def import_one(name: str) -> dict[str, Any] | None:
    try:
        importlib.import_module(name)
        WARM_UPS.get(name, lambda: None)()
    except BaseException as error:  # a preloaded module may raise anything, SystemExit included
        return {"name": name, "message": f"{type(error).__name__}: {error}"[:MAX_MESSAGE_CHARS]}
    return None


def count_threads() -> int:
    """Waits shortly for threads that are about to end (matplotlib cancels a timer thread after reading its fonts)."""
    deadline = time.monotonic() + THREAD_END_TIMEOUT_S
    while (count := len(os.listdir("/proc/self/task"))) > 1 and time.monotonic() < deadline:
        time.sleep(0.005)
    return count


def warm_numpy() -> None:
    import numpy
    import numpy.random

    numpy.linalg.solve(numpy.eye(2), numpy.ones(2))
    repr(numpy.arange(3.0))


def warm_pandas() -> None:
    import io

    import pandas

    frame = pandas.read_csv(io.StringIO("name,count\na,1\nb,2\n"))
    frame.groupby("name")["count"].mean().sort_values().head(1)
    frame.to_csv(io.StringIO(), index=False)
    frame.describe()
    repr(frame)
    frame._repr_html_()


def warm_matplotlib() -> None:
    import io

    import matplotlib.pyplot

    figure, axes = matplotlib.pyplot.subplots()
    axes.plot([0, 1])
    figure.savefig(io.BytesIO(), format="png")
    matplotlib.pyplot.close("all")


WARM_UPS: dict[str, Callable[[], None]] = {
    "numpy": warm_numpy,
    "pandas": warm_pandas,
    "matplotlib": warm_matplotlib,
    "matplotlib.pyplot": warm_matplotlib,
}
