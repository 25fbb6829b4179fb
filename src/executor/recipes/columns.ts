/**
 * Python that loads a table of text and finds the columns a caller means. `PARAMETERS` names them or leaves them open.
 */
export const LOAD_TABLE = `import os
import re
import sys

import pandas as pd

def stop(message):
    raise SystemExit(message)

def load(path):
    if not os.path.isfile(path):
        found = sorted(name for name in os.listdir() if name.endswith(".csv"))
        stop(f"there is no {path}; CSV files here: {', '.join(found) or 'none'}")
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")

def words(name):
    return re.findall(r"[a-z0-9]+", str(name).casefold())

def numbers(frame, name):
    return pd.to_numeric(frame[name].str.strip().mask(lambda cells: cells == ""), errors="coerce")

def is_numeric(frame, name):
    filled = frame[name].str.strip() != ""
    return bool(filled.any()) and bool(numbers(frame, name)[filled].notna().mean() >= 0.95)

def find_named(frame, wanted, role):
    """A column by its name: exactly, else without regard to case, else the only one that begins with these words."""
    if wanted in frame.columns:
        return wanted
    same = [name for name in frame.columns if words(name) == words(wanted)]
    begins = [name for name in frame.columns if words(name)[: len(words(wanted))] == words(wanted)]
    named = [name for name in begins if words(name) == [*words(wanted), "name"]]
    for candidates in (same, begins, named):
        if len(candidates) == 1:
            return candidates[0]
    stop(f"no single column for the {role} {wanted!r}; the columns are {list(frame.columns)}")

MEASURES_NOTHING = {"id", "code", "year", "date", "month", "day", "index", "rank", "zip", "lat", "latitude", "lon", "longitude"}

def find_value(frame, wanted):
    if wanted is not None:
        name = find_named(frame, wanted, "value")
        return name if is_numeric(frame, name) else stop(f"the column {name!r} is not numeric; the columns are {list(frame.columns)}")
    numeric = [name for name in frame.columns if is_numeric(frame, name) and not MEASURES_NOTHING & set(words(name))]
    telling = [name for name in numeric if {"value", "amount", "total", "gdp", "sales"} & set(words(name))]
    if not numeric:
        stop(f"no numeric column to measure; name one as value. The columns are {list(frame.columns)}")
    return (telling or numeric)[-1 if not telling else 0]

def find_group(frame, wanted, value):
    if wanted is not None:
        return find_named(frame, wanted, "group")
    texts = [name for name in frame.columns if name != value and not is_numeric(frame, name)]
    repeated = [name for name in texts if 1 < frame[name].nunique() < len(frame)]
    if not repeated:
        stop(f"no text column with repeated values to group by; name one as group. The columns are {list(frame.columns)}")
    return repeated[0]

frame = load(PARAMETERS["input"])
value = find_value(frame, PARAMETERS["value"])
group = find_group(frame, PARAMETERS["group"], value)
table = pd.DataFrame({"group": frame[group].str.strip(), "value": numbers(frame, value)}).dropna()
table = table[table["group"] != ""]
if table.empty:
    stop(f"no row of {PARAMETERS['input']} has both {group!r} and a number in {value!r}")
`;

/** Python that reads the same table again without pandas, to check a result against it. */
export const READ_AGAIN = `import csv
import math

def read(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return [row for row in csv.DictReader(file)]

def number(text):
    try:
        found = float(text) if "_" not in text else None
    except ValueError:
        return None
    return found if found is not None and not math.isnan(found) else None

def read_groups(path, group, value):
    """Group to its numbers."""
    groups = {}
    for row in read(path):
        name, found = (row.get(group) or "").strip(), number((row.get(value) or "").strip())
        if name and found is not None:
            groups.setdefault(name, []).append(found)
    return groups

def stop(message):
    raise SystemExit(message)

result = read(PARAMETERS["output"])
if not result:
    stop(f"{PARAMETERS['output']} has no rows")
group, measure, *_ = result[0]
value = measure.partition("_")[2]
groups = read_groups(PARAMETERS["input"], group, value)
`;
