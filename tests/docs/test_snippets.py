"""What the pages tell people to type is what the command line and the settings take."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from perijove.specification import parse
from perijove_hub import settings
from perijove_hub.cli.main import cli
from tests.fixtures.processes import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(perijove [^`]+)`")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Yield the fenced blocks of a language, each with where it stands."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in _FENCE.finditer(text):
            if found[2] == language:
                line = text.count("\n", 0, found.start()) + 1
                yield f"{page.relative_to(ROOT)}:{line}", found[3]


def commands() -> Iterator[tuple[str, str]]:
    """Yield each ``perijove …`` that a block shows, on one line."""
    for where, block in blocks("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match(r"(\.venv/bin/)?perijove ", line):
                yield where, line


def inline() -> Iterator[tuple[str, str]]:
    """Yield each ``perijove …`` in running text, which may leave out what is obvious."""
    for page in PAGES:
        for found in _INLINE.finditer(page.read_text(encoding="utf-8")):
            yield str(page.relative_to(ROOT)), found[1].replace("\\|", "|")


def find(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that ``words`` name and what follows it."""
    command: click.Command = cli
    while isinstance(command, click.Group):
        assert words, "a group needs a command"
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, f"there is no '{words[0]}'"
        command, words = found, words[1:]
    return command, words


def options(command: click.Command) -> set[str]:
    return {
        one for parameter in command.params for one in parameter.opts + parameter.secondary_opts
    }


@pytest.mark.parametrize(("where", "line"), list(commands()))
def test_a_command_of_a_block_is_taken_as_it_stands(
    where: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line, comments=True)[1:]
    words = words[: next((at for at, word in enumerate(words) if word in (">", "|")), None)]
    for word in words:
        # Commands that read a file look for it already.
        if re.fullmatch(r"[\w-]+\.(toml|ipynb|json|csv|tar)", word):
            Path(word).touch()
    command, arguments = find(words)
    command.make_context(words[0], arguments)


@pytest.mark.parametrize(("where", "text"), list(inline()))
def test_a_command_in_a_sentence_is_there(where: str, text: str) -> None:
    _, *words = text.split()
    named = [word for word in words if re.fullmatch(r"[a-z][a-z|-]*", word)]
    first = cli.get_command(click.Context(cli), named[0])
    assert first is not None, f"there is no 'perijove {named[0]}'"
    found = [first]
    if isinstance(first, click.Group) and len(named) > 1:
        found = [find([named[0], one])[0] for one in named[1].split("|")]
    known = {"--json", "--help"}.union(*map(options, found))
    assert set(re.findall(r"--[a-z-]+", text)) <= known


@pytest.mark.parametrize(("where", "text"), list(blocks("toml")))
def test_settings_and_specifications_are_taken_as_they_stand(
    where: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in re.findall(r"\$\{(\w+)\}", text):
        monkeypatch.setenv(name, "x")
    if re.search(r"^\[", text, re.MULTILINE):
        file = tmp_path / "perijove.toml"
        file.write_text(text)
        settings.load(file)
    else:
        parse(text, name=where)
