"""Reading a line's ``--param NAME=VALUE``, whose types the job declares."""

from __future__ import annotations

from perijove.magics.arguments import Command, split, unquote


def take_parameters(line: str, command: Command) -> tuple[str, dict[str, str]]:
    """Take every ``--param NAME=VALUE`` out of a line, as text.

    Returns what is left of the line, and the texts by name. Raises ``UsageError``.
    """
    try:
        tokens = iter(split(line))
    except ValueError as error:
        raise command.wrong(f"{error}.") from None
    rest, texts = [], {}
    for token in tokens:
        flag, assigned, value = token.partition("=")
        if flag != "--param":
            rest.append(token)
            continue
        value = value if assigned else next(tokens, "")
        value = unquote(value) if value[:1] in ("'", '"') else value
        name, assigned, text = value.partition("=")
        if not assigned or not name.isidentifier():
            raise command.wrong(f"'{value}' is not NAME=VALUE.")
        if name in texts:
            raise command.wrong(f"'{name}' is given twice.")
        texts[name] = text if text[:1] in "[{" else unquote(text)
    return " ".join(rest), texts
