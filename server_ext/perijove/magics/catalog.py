"""``%%sql``, ``%sql`` and ``%catalog``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from perijove import placeholders
from perijove.catalog import LIMIT, Result, query, search, sources
from perijove.exceptions import ParameterError
from perijove.magics.arguments import Command
from perijove.magics.display import Listing, say

if TYPE_CHECKING:
    import pandas as pd
    from IPython.core.interactiveshell import InteractiveShell

SQL = Command(
    "%%sql SOURCE [--out NAME] [--limit N]",
    words=(0, 2),
    flags={"--out": str, "--limit": int},
)
CATALOG = Command("%catalog [WORDS] [--source NAME]", words=(0, None), flags={"--source": str})

#: Rows shown when a cell does not keep its result.
HEAD = 10
#: Datasets a search lists.
LISTED = 50

#: A line magic's options end where its statement begins.
_LINE = re.compile(r"\s*((?:--\w+(?:=|\s+)\S+\s+|[\w.-]+\s+<<\s*)*)", re.ASCII)
_FIRST_WORD = re.compile(r"\s*(\S+)\s*(.*)", re.DOTALL)


class CatalogMagics:
    """Find data and read it; credentials stay with the control plane."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def catalog(self, line: str) -> Listing:
        """List datasets that mention every word: ``%catalog cancer``."""
        given = CATALOG.parse(line)
        words = " ".join(given.words)
        found = search(words, source=given["--source"], limit=LISTED)
        return Listing(
            ["dataset", "rows", "columns", "about", "read it with"],
            [
                [
                    dataset.name,
                    "" if dataset.row_count is None else f"{dataset.row_count:,}",
                    dataset.column_count,
                    dataset.comment,
                    f"%%sql {dataset.source} --out df",
                ]
                for dataset in found
            ],
            caption=f"The first {LISTED}; add words to narrow it." if len(found) == LISTED else "",
            empty=_nothing(words),
        )

    def sql(self, line: str, cell: str | None = None) -> pd.DataFrame | None:
        """Run a read-only statement; ``:name`` takes the value of the variable ``name``."""
        head, statement = _parted(line) if cell is None else (line, cell)
        head, arrow, rest = head.partition("<<")
        given = SQL.parse(head)
        words, out = list(given.words), given["--out"]
        if arrow:
            # jupysql's habit: %%sql SOURCE name << select …
            if not words or out:
                raise SQL.wrong("Before << stands the name to keep the result under.")
            out, statement = words.pop(), f"{rest}\n{statement}"
        if out is not None and not out.isidentifier():
            raise SQL.wrong(f"'{out}' cannot be the name of a variable.")
        if len(words) > 1:
            raise SQL.wrong(f"'{words[1]}' is one word too many.")
        if not statement.strip():
            raise SQL.wrong("There is no statement.")
        source = words[0] if words else self._only_source()
        result = self._run(statement, source, limit=given["--limit"])
        return self._hand_over(result, out, shown=cell is not None)

    def _run(self, statement: str, source: str, *, limit: int | None) -> Result:
        parameters = {name: self._value(name) for name in placeholders.names(statement)}
        if limit is not None and limit < 1:
            raise SQL.wrong("--limit must be at least 1.")
        return query(statement, source, parameters=parameters, limit=limit or LIMIT)

    def _value(self, name: str) -> Any:
        namespace = self._shell.user_ns
        if name not in namespace:
            raise ParameterError(
                name,
                f"The statement uses :{name}, and there is no variable '{name}' here. "
                f"Set it first: {name} = …",
            )
        return namespace[name]

    def _only_source(self) -> str:
        yours = [source.name for source in sources()]
        if len(yours) == 1:
            return yours[0]
        names = ", ".join(yours) or "none yet"
        raise SQL.wrong(f"Which source? You may read: {names}.")

    def _hand_over(self, result: Result, out: str | None, *, shown: bool) -> pd.DataFrame | None:
        frame: pd.DataFrame = result.to_pandas()
        size = f"{len(frame):,} rows × {frame.shape[1]} columns"  # noqa: RUF001
        cut = " (cut there: the source has more)" if result.truncated else ""
        if out is not None:
            self._shell.user_ns[out] = frame
            say(f"{size} → {out}{cut}")
            return None
        if not shown:
            return frame
        from IPython.display import display

        display(frame.head(HEAD))
        rest = f", the first {HEAD} shown; keep them with --out NAME" if len(frame) > HEAD else ""
        say(f"{size}{rest}{cut}")
        return None


def _parted(line: str) -> tuple[str, str]:
    """Part ``%sql SOURCE [--out NAME] SELECT …`` into its options and its statement."""
    first = _FIRST_WORD.match(line)
    if first is None:
        return "", ""
    if first[1].startswith("--"):
        raise SQL.wrong("The source comes first.")
    options = _LINE.match(first[2])
    end = options.end() if options else 0
    return f"{first[1]} {first[2][:end]}", first[2][end:]


def _nothing(words: str) -> str:
    if not words:
        return "No data yet: an administrator names sources in perijove.toml."
    return f"Nothing mentions '{words}'. Try fewer words, or %catalog alone for everything."
