"""The demo's database: the Wisconsin breast-cancer set that ships with scikit-learn."""

from __future__ import annotations

import csv
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

#: The table: 569 rows, 30 measurements of cell nuclei and what the biopsy found.
TABLE = "breast_cancer"
#: What was measured of each cell nucleus.
_MEASURED = (
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave points",
    "symmetry",
    "fractal dimension",
)
#: The names ``load_breast_cancer`` gives, in its order.
COLUMNS = (
    *(f"mean {name}" for name in _MEASURED),
    *(f"{name} error" for name in _MEASURED),
    *(f"worst {name}" for name in _MEASURED),
)


def build(path: Path) -> None:
    """Write the demo database to ``path``, unless it is there and whole.

    It appears in one step, so that a process killed meanwhile leaves nothing behind that looks
    like a database; a reader of an older one keeps what it has open.
    """
    if is_whole(path):
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with closing(sqlite3.connect(partial)) as connection, connection:
            _fill(connection)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def is_whole(path: Path) -> bool:
    """Tell whether ``path`` is a database with every row."""
    if not path.is_file():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as found:
            (rows,) = found.execute(f"select count(diagnosis) from {TABLE}").fetchone()  # noqa: S608
    except sqlite3.Error:
        return False
    return bool(rows == 569)


def _fill(connection: sqlite3.Connection) -> None:
    columns = [name.replace(" ", "_") for name in COLUMNS]
    declared = ", ".join(f'"{name}" real not null' for name in columns)
    connection.execute(f"create table {TABLE} ({declared}, diagnosis text not null)")
    marks = ", ".join("?" * (len(columns) + 1))
    connection.executemany(f"insert into {TABLE} values ({marks})", _rows())  # noqa: S608 - marks


def _rows() -> Iterator[tuple[str | float, ...]]:
    """Read the file in scikit-learn's package, without the seconds it takes to import it."""
    found = find_spec("sklearn")
    assert found is not None and found.origin is not None  # noqa: S101 - a requirement of ours
    file = Path(found.origin).parent / "datasets" / "data" / "breast_cancer.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.reader(lines)
        _count, _measurements, *kinds = next(rows)
        for *measured, kind in rows:
            yield (*map(float, measured), kinds[int(kind)])
