"""``perijove.toml``: one settings file, validated before anything starts."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from perijove.types.base import Name
from perijove_hub.toml_errors import Location, dotted, explain, line_of


class SettingsError(Exception):
    """The settings are wrong; ``str()`` names file, line, key and the fix."""


class Section(BaseModel):
    """A table of the file; an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


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
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror}). Name an existing file with --config."
        ) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not UTF-8 text, so not TOML. Save it as UTF-8.") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(_not_toml(path, str(error))) from None
    unset: list[str] = []
    expanded = _expand(raw, (), unset, lambda location: f"{path}:{line_of(text, location)}")
    if unset:
        raise SettingsError("\n".join(unset))
    try:
        return Settings.model_validate(expanded)
    except ValidationError as error:
        problems = [
            explain(path, text, item, root=Settings) for item in error.errors(include_url=False)
        ]
        raise SettingsError("\n".join(problems)) from None


def _not_toml(path: Path, message: str) -> str:
    """Put the line of a syntax error where the eye looks for it."""
    where = re.search(r" \(at line (\d+), column \d+\)$", message)
    if where is None:
        return f"{path}: is not valid TOML: {message}."
    return f"{path}:{where[1]}: is not valid TOML: {message[: where.start()]}."


def _expand(
    value: Any, location: tuple[str | int, ...], unset: list[str], place: Callable[[Location], str]
) -> Any:
    """Replace ``${NAME}`` in every string, so that secrets stay out of the file.

    Variables that are not set are added to ``unset``, each as a whole message.
    """
    if isinstance(value, dict):
        return {k: _expand(item, (*location, k), unset, place) for k, item in value.items()}
    if isinstance(value, list):
        return [_expand(v, (*location, at), unset, place) for at, v in enumerate(value)]
    if not isinstance(value, str):
        return value

    def variable(match: re.Match[str]) -> str:
        name = match[1]
        if name not in os.environ:
            unset.append(
                f"{place(location)}: {dotted(location)}: the environment variable '{name}' is "
                "not set; export it before starting Perijove."
            )
        return os.environ.get(name, "")

    return re.sub(r"\$\{(\w+)\}", variable, value)
