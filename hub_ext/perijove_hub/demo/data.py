"""The demo's database: the Wisconsin breast-cancer set that ships with scikit-learn."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path

#: The table: 569 rows, 30 measurements of cell nuclei and what the biopsy found.
TABLE = "breast_cancer"


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
    from sklearn.datasets import load_breast_cancer

    data = load_breast_cancer()
    columns = [str(name).replace(" ", "_") for name in data.feature_names]
    declared = ", ".join(f'"{name}" real not null' for name in columns)
    connection.execute(f"create table {TABLE} ({declared}, diagnosis text not null)")
    marks = ", ".join("?" * (len(columns) + 1))
    connection.executemany(
        f"insert into {TABLE} values ({marks})",  # noqa: S608 - marks only
        (
            (*measured, str(data.target_names[found]))
            for measured, found in zip(data.data.tolist(), data.target, strict=True)
        ),
    )
