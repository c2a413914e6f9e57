"""Passwords of embedded accounts: generated, shown once, stored as scrypt hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets

#: RFC 7914 parameters: 16 MiB of memory and some 50 ms a try.
_N, _R, _P = 2**14, 8, 1


def generate() -> str:
    """Make a password of 80 bits in five groups a person can type."""
    alphabet = "abcdefghjkmnpqrstuvwxyz23456789"
    groups = ["".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4)]
    return "-".join(groups)


def hash_password(password: str) -> str:
    """Hash ``password`` with a salt of its own."""
    salt = secrets.token_bytes(16)
    return f"scrypt${salt.hex()}${_derive(password, salt).hex()}"


def verify(password: str, stored: str | None) -> bool:
    """Compare in constant time; an unknown user costs as much as a wrong password."""
    _, salt, expected = (stored or hash_password("")).split("$")
    matches = hmac.compare_digest(_derive(password, bytes.fromhex(salt)).hex(), expected)
    return matches and stored is not None


def _derive(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P)
