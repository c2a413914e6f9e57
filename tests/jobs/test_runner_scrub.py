"""Secrets are taken out however they are commonly written, and nothing else is."""

from __future__ import annotations

import ast
import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

from perijove.runner.scrub import REMOVED, Scrubber, Stream

SECRETS = ["hunter2-and-more", "pass'word\"x", "two\nlines\there", "Grüße-🗝-Schloss", "a\\b/c&<d>"]

WRITINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": json.dumps,
    "JSON that is not ASCII": lambda text: json.dumps({"k": text}, ensure_ascii=False),
    "repr": lambda text: repr({"k": text}),
    "repr in a text with quotes": lambda text: repr(f'''say "{text}" now'''),
    "ascii": ascii,
    "bytes": lambda text: repr(text.encode()),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 behind a name": lambda text: base64.b64encode(f"ada:{text}".encode()).decode(),
    "base64 behind a longer name": lambda text: base64.b64encode(f"adam:{text}".encode()).decode(),
    "base64 of an address": lambda text: base64.urlsafe_b64encode(f"xy{text}".encode()).decode(),
    "address": lambda text: quote(text, safe=""),
    "HTML": html.escape,
}


def recover(shown: str) -> str:
    """Undo one writing, as somebody would who looks for the secret."""
    try:
        return str(ast.literal_eval(shown))
    except (ValueError, SyntaxError):
        return shown


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("writing", WRITINGS)
def test_a_secret_is_found_in_every_common_writing(secret: str, writing: str) -> None:
    shown = f"before {WRITINGS[writing](secret)} after"
    cleaned = Scrubber([secret]).clean(shown)
    assert REMOVED in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")
    assert secret not in recover(cleaned)


@pytest.mark.parametrize("secret", ["", "a", "abc"])
def test_secrets_that_occur_everywhere_are_left(secret: str) -> None:
    assert Scrubber([secret]).clean("abc abc") == "abc abc"


def test_structure_survives_a_secret_that_is_a_word_of_json() -> None:
    scrubber = Scrubber(["text", "name"])
    value = {"text": ["some text", 1, None], "b": {"name": "name"}}
    assert scrubber.clean_all(value) == {
        "text": [f"some {REMOVED}", 1, None],
        "b": {"name": REMOVED},
    }
    assert scrubber.clean_all({"name": 1}, keys=True) == {REMOVED: 1}


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_a_secret_in_pieces_is_found(size: int) -> None:
    secret = "abcabcabd"
    text = f"xx{secret}yy abcabc abcabcab{secret}z ab"
    stream = Stream(Scrubber([secret]))
    shown = "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert shown + stream.rest() == text.replace(secret, REMOVED)


def test_text_that_begins_no_secret_is_not_kept_back() -> None:
    stream = Stream(Scrubber(["secret-value"]))
    assert stream.feed("a line\n") == "a line\n"
    assert stream.feed("the sec") == "the "
    assert stream.feed("ond line") == "second line"
    assert stream.rest() == ""


def test_only_what_is_a_secret_of_the_environment_is_one() -> None:
    scrubber = Scrubber.of_environment(
        {"PERIJOVE_SECRET_DB": "value-one", "PERIJOVE_TOKEN": "value-two", "HOME": "/home/ada"}
    )
    assert scrubber.clean("value-one value-two /home/ada") == f"{REMOVED} {REMOVED} /home/ada"
