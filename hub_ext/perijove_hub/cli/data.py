"""``perijove data``: find tables and read them, as the magics do."""

from __future__ import annotations

import json as json_
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from perijove import catalog
from perijove.exceptions import PerijoveError
from perijove.magics.arguments import typed
from perijove.magics.display import Listing
from perijove_hub.cli.options import fail

T = TypeVar("T")

as_json = click.option("--json", is_flag=True, help="Print JSON.")


@click.group()
def data() -> None:
    """Find data and read it; who you are comes from PERIJOVE_URL and PERIJOVE_TOKEN."""


@data.command()
@click.argument("words", nargs=-1)
@click.option("--source", help="Only this source.")
@click.option("--limit", type=click.IntRange(1, 500), default=100, show_default=True)
@as_json
def search(words: tuple[str, ...], source: str | None, limit: int, json: bool) -> None:
    """List tables and files that mention every one of WORDS."""
    found = _ask(lambda: catalog.search(" ".join(words), source=source, limit=limit))
    if json:
        return _print_json(found)
    return _print_table(
        ["dataset", "rows", "columns"],
        [[d.name, "" if d.row_count is None else d.row_count, d.column_count] for d in found],
        empty="Nothing found.",
    )


@data.command()
@as_json
def sources(json: bool) -> None:
    """List the sources you may read."""
    found = _ask(catalog.sources)
    if json:
        return _print_json(found)
    return _print_table(
        ["source", "kind", "state", "datasets", "about"],
        [[s.name, s.kind, s.state, s.datasets, s.error or s.description] for s in found],
        empty="No sources: an administrator names them in perijove.toml.",
    )


@data.command()
@click.argument("name")
@as_json
def show(name: str, json: bool) -> None:
    """Describe the dataset NAME (source.schema.table): its columns and the cell that reads it."""
    dataset = _ask(lambda: catalog.show(name))
    if json:
        return _print_json(dataset)
    _print_table(
        ["column", "type", "null", "about"],
        [[c.name, c.type, "yes" if c.nullable else "no", c.comment] for c in dataset.columns],
        empty="It has no columns.",
    )
    return click.echo(f"\n{dataset.snippet}")


@data.command()
@click.argument("source")
@click.argument("sql")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Value for :NAME.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@as_json
def query(source: str, sql: str, params: tuple[str, ...], limit: int, json: bool) -> None:
    """Run the read-only statement SQL against SOURCE."""
    result = _ask(
        lambda: catalog.query(sql, source, parameters=dict(map(_pair, params)), limit=limit)
    )
    rows = result.table.to_pylist()
    if json:
        click.echo(json_.dumps({"rows": rows, "truncated": result.truncated}, default=str))
        return
    names = result.table.column_names
    values = zip(*(column.to_pylist() for column in result.table.columns), strict=True)
    _print_table(names, list(values), empty="No rows.")
    if result.truncated:
        click.echo(f"(the first {limit}; ask for more with --limit)", err=True)


def _ask(question: Callable[[], T]) -> T:
    try:
        return question()
    except PerijoveError as error:
        fail(error)


def _pair(text: str) -> tuple[str, Any]:
    name, assigned, value = text.partition("=")
    if not assigned or not name.isidentifier():
        raise click.BadParameter(f"'{text}' is not NAME=VALUE.", param_hint="--param")
    return name, typed(value)


def _print_json(found: BaseModel | Iterable[BaseModel]) -> None:
    plain = (
        found.model_dump(mode="json")
        if isinstance(found, BaseModel)
        else [item.model_dump(mode="json") for item in found]
    )
    click.echo(json_.dumps(plain, indent=2, ensure_ascii=False))


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str) -> None:
    click.echo(repr(Listing(columns, rows, empty=empty)))
