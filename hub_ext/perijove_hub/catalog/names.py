"""The names of datasets: ``source.schema.table``, one for each table and safe in URLs."""

from __future__ import annotations

import re

#: A dot inside a part would make the name ambiguous; the others mean something in URLs or HTML.
_ESCAPED = re.compile(r"""[.~/\\%?#"'<>&\x00-\x1f\x7f]""")


def dataset_name(source: str, schema: str, table: str) -> str:
    """Join the parts; what would be ambiguous is written as ``~`` and its code in hexadecimal."""
    return ".".join(_escape(part) for part in (source, schema, table))


def _escape(part: str) -> str:
    return _ESCAPED.sub(lambda match: f"~{ord(match[0]):02X}", part)
