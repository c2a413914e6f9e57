"""Directives that write reference pages from the code itself, so that they cannot go stale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import click
from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.util.docutils import SphinxDirective


class Written(SphinxDirective):
    """Parse the Markdown that ``lines`` yields in place of the directive."""

    def run(self) -> list[nodes.Node]:
        return list(self.parse_text_to_nodes("\n".join(self.lines()), allow_section_headings=True))

    def lines(self) -> Iterator[str]:
        """Yield Markdown."""
        raise NotImplementedError


class SettingsReference(Written):
    """Every key of ``perijove.toml`` with its type, default and meaning."""

    def lines(self) -> Iterator[str]:
        from perijove_hub.settings import Settings

        yield from self._table("", Settings)

    def _table(self, name: str, model: type[BaseModel]) -> Iterator[str]:
        keys = {key: field for key, field in model.model_fields.items() if not _section(field)}
        if keys:
            yield f"### `[{name}]`\n\n{(model.__doc__ or '').strip()}\n"
            yield "| key | type | default | meaning |\n|---|---|---|---|"
            for key, field in keys.items():
                default = "required" if field.is_required() else f"`{_toml(field.default)}`"
                meaning = " ".join((field.description or "").replace("``", "`").split())
                yield f"| `{key}` | {_type(field)} | {default} | {meaning} |"
            yield ""
        for key, field in model.model_fields.items():
            if section := _section(field):
                inner, is_map = section
                path = f"{name}.{key}" if name else key
                yield from self._table(f"{path}.NAME" if is_map else path, inner)


def _section(field: FieldInfo) -> tuple[type[BaseModel], bool] | None:
    """Return the table a field holds, and whether it holds many by name."""
    annotation: Any = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    for argument in get_args(annotation):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument, True
    return None


def _toml(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    choices = [repr(item).replace("'", '"') for item in get_args(annotation) if item is not None]
    if choices and all(choice.startswith('"') for choice in choices):
        return " or ".join(f"`{choice}`" for choice in choices)
    bounds = [
        f"{sign} {getattr(rule, name):,}"
        for rule in field.metadata
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if getattr(rule, name, None) is not None
    ]
    shown = getattr(annotation, "__name__", str(annotation)).replace("NoneType", "None")
    if "|" in str(annotation) or "[" in str(annotation):
        shown = str(annotation).replace(" | None", "").replace("typing.", "")
    return ", ".join([f"`{shown}`", *bounds])


class CommandReference(Written):
    """Every command of ``perijove`` with its options."""

    def lines(self) -> Iterator[str]:
        from perijove_hub.cli.main import cli

        yield from self._command(cli, "perijove", None)

    def _command(
        self, command: click.Command, name: str, parent: click.Context | None
    ) -> Iterator[str]:
        context = click.Context(command, info_name=name.rsplit(" ", 1)[-1], parent=parent)
        if parent is not None:
            yield f"### `{name}`\n\n{command.help or ''}\n"
            usage = " ".join(command.collect_usage_pieces(context))
            yield f"```text\n{name} {usage}\n```\n"
            for parameter in command.get_params(context):
                record = parameter.get_help_record(context)
                if record and "--help" not in record[0]:
                    yield f"`{record[0]}`\n: {record[1] or '-'}\n"
        if isinstance(command, click.Group):
            for child in command.list_commands(context):
                found = command.get_command(context, child)
                if found is not None:
                    yield from self._command(found, f"{name} {child}", context)


def setup(app: Any) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("settings-reference", SettingsReference)
    app.add_directive("command-reference", CommandReference)
    return {"parallel_read_safe": True}
