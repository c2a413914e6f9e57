"""``perijove.toml``: one settings file, validated before anything starts."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from perijove.types.base import Name


class SettingsError(Exception):
    """The settings are wrong; ``str()`` names file, line, key and the fix."""


class Section(BaseModel):
    """A table of the file; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


Port = Annotated[int, Field(ge=1, le=65535)]


class HubSettings(Section):
    """The Hub and its proxy."""

    port: Port = 8000
    """Where people point their browsers; always on loopback here."""
    spawner: Literal["local", "docker"] = "local"
    """``local`` runs workspaces as processes, which does not isolate users from each other."""
    image: str = "perijove/cpu:latest"
    """The workspace's image, with ``spawner = "docker"``."""
    memory_mb: int = Field(default=4096, ge=512)
    """A workspace's memory in MiB, with ``spawner = "docker"``; local processes have no limit."""
    token_days: int = Field(default=30, ge=1, le=365)
    """Longest life of a user's API token, in days."""
    proxy_command: list[str] = []
    """How to start configurable-http-proxy; empty to look for it."""


class StoreSettings(Section):
    """State: one database and one blob store."""

    database: str | None = None
    """SQLAlchemy URL; null for SQLite in the data directory."""
    blobs: str | None = None
    """fsspec URL; null for a folder in the data directory."""
    mlflow: str | None = None
    """SQLAlchemy URL of MLflow's own database; null for SQLite in the data directory."""


class SourceSettings(Section):
    """One catalog source: ``url`` of a database, or ``path`` of a folder of files."""

    url: str | None = None
    """SQLAlchemy URL. ``${NAME}`` is replaced by an environment variable."""
    path: str | None = None
    """Folder of Parquet and CSV files."""
    description: str = ""
    groups: list[str] = []
    """Who may read it; empty for nobody but administrators, ``["*"]`` for everyone."""
    row_limit: int = Field(default=100_000, ge=1, le=1_000_000)
    timeout_s: float = Field(default=60, gt=0, le=3600)

    @model_validator(mode="after")
    def _one_place(self) -> SourceSettings:
        if (self.url is None) == (self.path is None):
            raise ValueError("a source needs exactly one of 'url' and 'path'")
        return self


class CatalogSettings(Section):
    """Where data is."""

    sources: dict[Name, SourceSettings] = {}
    crawl_minutes: float = Field(default=60, gt=0)


class JobSettings(Section):
    """Limits of job runs."""

    memory_mb: int = Field(default=4096, ge=64)
    timeout_s: int = Field(default=6 * 3600, ge=1)
    concurrency: int = Field(default=4, ge=1)
    """Most runs at once on one worker."""


class ModelSettings(Section):
    """Limits of replicas."""

    memory_mb: int = Field(default=4096, ge=64)
    gateway_port: Port | None = None
    """A fixed port for production traffic past the proxy; null for a free one."""


class Settings(Section):
    """Everything ``perijove.toml`` can say."""

    hub: HubSettings = HubSettings()
    store: StoreSettings = StoreSettings()
    catalog: CatalogSettings = CatalogSettings()
    jobs: JobSettings = JobSettings()
    models: ModelSettings = ModelSettings()


def load(path: Path | None) -> Settings:
    """Read and check the settings file; ``None`` gives the defaults.

    Raises ``SettingsError`` with the file, line, key and nearest right key.
    """
    if path is None:
        return Settings()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}). Name an existing file with --config."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text, so not TOML. Save it as UTF-8.") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}.") from None
    try:
        return Settings.model_validate(_expand(raw))
    except ValidationError as error:
        problems = [_explain(path, text, item) for item in error.errors(include_url=False)]
        raise SettingsError("\n".join(problems)) from None
    except KeyError as error:
        raise SettingsError(
            f"{path}: environment variable {error} is not set; export it before starting Perijove."
        ) from None


def _expand(value: Any) -> Any:
    """Replace ``${NAME}`` in every string, so that secrets stay out of the file."""
    if isinstance(value, dict):
        return {key: _expand(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_expand(item) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", lambda match: os.environ[match[1]], value)
    return value


def _explain(path: Path, text: str, error: Any) -> str:
    """Turn one validation error into ``file:line: key: what is wrong; what to do``."""
    location = [str(part) for part in error["loc"] if part != "[key]"]
    key = ".".join(location)
    where = f"{path}:{_line_of(text, location)}: {key}"
    if error["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        nearest = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"Did you mean '{nearest[0]}'?" if nearest else f"Known here: {', '.join(known)}."
        return f"{where}: unknown key. {hint}"
    message = error["msg"].removeprefix("Value error, ")
    # A wrong value may be a URL with a password in it: show it only where it cannot be.
    shown = error.get("input")
    value = f" (it is {shown!r})" if isinstance(shown, bool | int | float) else ""
    return f"{where}: {message}{value}."


def _known_keys(location: list[str]) -> list[str]:
    """Keys the table at ``location`` may have."""
    section: Any = Settings
    for part in location:
        if section is SourceSettings:
            return []
        annotation = section.model_fields[part].annotation if hasattr(
            section, "model_fields"
        ) else SourceSettings
        section = annotation
    fields = getattr(section, "model_fields", None)
    return sorted(fields) if fields else []


def _line_of(text: str, location: list[str]) -> int:
    """Find the line a key stands on; the line of its table, or 1, when it is not written out."""
    table: list[str] = []
    best = 1
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.split("#", 1)[0].strip()
        if header := re.fullmatch(r"\[\[?\s*(.+?)\s*\]\]?", bare):
            table = [part.strip().strip("\"'") for part in header[1].split(".")]
            if location[: len(table)] == table:
                best = number
            continue
        name = bare.split("=", 1)[0].strip() if "=" in bare else ""
        full = table + [part.strip().strip("\"'") for part in name.split(".")] if name else []
        if full and location[: len(full)] == full:
            return number
    return best
