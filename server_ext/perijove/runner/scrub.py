"""Take secrets out of what a run leaves behind."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

REMOVED = "[secret removed]"
#: Shorter values are left: they occur everywhere.
SHORTEST = 4
#: Variables of the environment whose values are secrets: these, and the user's own.
TOKENS = ("PERIJOVE_TOKEN", "JUPYTERHUB_API_TOKEN", "MLFLOW_TRACKING_TOKEN")
PREFIX = "PERIJOVE_SECRET_"
#: Fewest characters of a secret's base64 that are taken for it.
_SHORTEST_BASE64 = 8


class Scrubber:
    """Replaces secrets by ``REMOVED``, however they are commonly written.

    As they are, and as ``repr``, JSON, HTML, an address or base64 write them. Values of fewer
    than four characters are not replaced, and somebody who wants to can always write a secret
    in a way that nobody recognises: this is against accidents.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            if len(secret) >= SHORTEST:
                forms.update(_forms(secret))
        # Longest first, or what is left of a longer form would stay.
        self._forms = sorted(forms, key=lambda form: (-len(form), form))

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> Scrubber:
        """Know the secrets that this process was given."""
        return cls(
            value
            for name, value in environment.items()
            if name in TOKENS or name.startswith(PREFIX)
        )

    def clean(self, text: str) -> str:
        """Return ``text`` without secrets."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, REMOVED)
        return text

    def clean_all(self, value: Any, *, keys: bool = False) -> Any:
        """Return a JSON value with every text in it cleaned, with ``keys`` those of objects too.

        Not keys whose names mean something: a secret may be the word ``text``.
        """
        if not self._forms:
            return value
        if isinstance(value, str):
            return self.clean(value)
        if isinstance(value, Mapping):
            return {
                (self.clean(key) if keys else key): self.clean_all(item, keys=keys)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self.clean_all(item, keys=keys) for item in value]
        return value

    def unfinished(self, text: str) -> int:
        """Return how many characters at the end of ``text`` may begin a secret."""
        longest = 0
        for form in self._forms:
            end = text[-(len(form) - 1) :]
            at = end.find(form[0])
            while at >= 0 and len(end) - at > longest:
                if form.startswith(end[at:]):
                    longest = len(end) - at
                at = end.find(form[0], at + 1)
        return longest


class Stream:
    """Text that comes in pieces: a secret may be split over two."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber
        self._kept = ""

    def feed(self, text: str) -> str:
        """Take a piece; return what can be shown by now."""
        text = self._scrubber.clean(self._kept + text)
        kept = self._scrubber.unfinished(text)
        self._kept = text[len(text) - kept :]
        return text[: len(text) - kept]

    def rest(self) -> str:
        """Return what was kept back: nothing comes any more."""
        kept, self._kept = self._kept, ""
        return kept


def _forms(secret: str) -> set[str]:
    try:
        raw = secret.encode()
    except UnicodeEncodeError:
        raw = secret.encode("utf-8", "surrogateescape")
    forms = {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        ascii(secret)[1:-1],
        repr(raw)[2:-1],
        # As part of a text with a quote of the other kind.
        repr(secret + '"')[1:-2],
        html.escape(secret),
        html.escape(secret, quote=False),
        quote(raw, safe=""),
        quote(raw),
        quote_plus(raw),
    }
    return {form for form in forms if len(form) >= SHORTEST} | _base64(raw)


def _base64(raw: bytes) -> set[str]:
    """Return what base64 makes of a secret at each of the three places it can begin."""
    forms = set()
    for before in range(3):
        code = base64.b64encode(bytes(before) + raw)
        # Without the characters that what stands around it decides as well.
        first = (before * 8 + 5) // 6
        last = (before + len(raw)) * 8 // 6
        text = code[first:last].decode()
        if len(text) >= _SHORTEST_BASE64:
            forms |= {text, text.replace("+", "-").replace("/", "_")}
    return forms
