"""``perijove.toml``: one settings file, validated before anything starts."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from perijove.types.base import Name
from perijove_hub.engine.allow import checked
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
    spawner: Literal["local", "docker"] | None = None
    """``docker`` for a container each; ``local`` runs workspaces as processes, which does not
    isolate users from each other. Null for ``docker`` where an engine with our images answers,
    else ``local``."""
    token_days: int = Field(default=30, ge=1, le=365)
    """Longest life of a user's API token, in days."""
    proxy_command: list[str] = []
    """How to start configurable-http-proxy; empty to look for it."""


class SizeSettings(Section):
    """One size a workspace, remote kernel or job can have."""

    cpu: float = Field(default=1, ge=0.1, le=512)
    """Cores; a fraction is a share of one."""
    memory_mb: int = Field(default=2048, ge=512)
    gpus: float = Field(default=0, ge=0, le=64)
    """Whole devices, or a fraction below 1 of one device that is shared."""
    price: float = Field(default=0, ge=0)
    """Per hour, in the currency of ``[usage]``."""
    groups: list[str] = ["*"]
    """Who may choose it; ``["*"]`` for everyone."""
    description: str = ""

    @model_validator(mode="after")
    def _whole_or_shared(self) -> SizeSettings:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError("'gpus' is a whole number, or a fraction below 1 of one device")
        return self


def _sizes() -> dict[str, SizeSettings]:
    return {
        "small": SizeSettings(cpu=1, memory_mb=2048, description="Looking around, small data"),
        "medium": SizeSettings(cpu=2, memory_mb=4096, description="Most notebooks"),
        "large": SizeSettings(cpu=4, memory_mb=8192, description="Larger data and models"),
    }


class IdleSettings(Section):
    """When an idle workspace is shut off; users choose within the bounds."""

    minutes: int = Field(default=60, ge=1)
    """Default for workspaces without a GPU."""
    gpu_minutes: int = Field(default=20, ge=1)
    """Default, and most, for workspaces and kernels with a GPU."""
    least_minutes: int = Field(default=10, ge=1)
    most_minutes: int = Field(default=480, ge=1)
    warning_minutes: float = Field(default=5, gt=0)
    """How long before the end JupyterLab warns, with a button to keep it alive."""


class WarmSettings(Section):
    """Started containers that wait to be claimed; Docker only."""

    count: int = Field(default=0, ge=0, le=100)
    """How many wait; 0 for none."""
    image: Name | None = None
    """Null for the default image."""
    size: Name | None = None
    """Null for the default size."""


class WorkspaceSettings(Section):
    """What people can start, and how many at once."""

    sizes: dict[Name, SizeSettings] = Field(default_factory=_sizes)
    default_size: Name = "small"
    default_image: Name = "cpu"
    concurrent_starts: int = Field(default=4, ge=1)
    """Starts at the same time; the rest wait in a queue they can see."""
    most_running: int | None = Field(default=None, ge=1)
    """Workspaces that run at once; the next ones wait. Null for no limit."""
    home_mb: int = Field(default=20_480, ge=100)
    """Soft limit of a home, in MiB: warned at 90 %, no new start above it."""
    idle: IdleSettings = IdleSettings()
    warm: WarmSettings = WarmSettings()

    @model_validator(mode="after")
    def _defaults_exist(self) -> WorkspaceSettings:
        for name in (self.default_size, self.warm.size):
            if name is not None and name not in self.sizes:
                known = ", ".join(self.sizes) or "none"
                raise ValueError(f"'{name}' is not among [workspaces.sizes]: {known}")
        return self


class ImageSettings(Section):
    """How images are built."""

    pip_config: str | None = None
    """A pip.conf that builds see and images do not keep: mirrors and their passwords."""
    ca: str | None = None
    """A bundle of certificates that builds trust."""
    apt_sources: str | None = None
    """A sources.list that builds use instead of the image's."""
    memory_mb: int = Field(default=4096, ge=256)
    timeout_s: int = Field(default=3600, ge=1)
    disk_mb: int = Field(default=20_480, ge=100)
    """Most that one build may write, in MiB."""
    concurrency: int = Field(default=1, ge=1)
    approval: bool = True
    """Whether an administrator approves what others build; without, tested images start."""
    retired_days: int = Field(default=30, ge=1, le=36_500)
    """Days after which a retired version that nothing uses is removed from the engine."""


class SharedFolderSettings(Section):
    """A folder that groups share."""

    place: str
    """A folder of the host, ``nfs://SERVER/PATH``, or ``volume:NAME``."""
    write: list[str] = []
    """Groups whose members write."""
    read: list[str] = []
    """Groups whose members only read; ``["*"]`` for everyone."""

    @field_validator("place")
    @classmethod
    def _is_a_place(cls, place: str) -> str:
        from perijove_hub.files import places

        places.shared(place)
        return place


class FileSettings(Section):
    """Where homes and shared folders are."""

    homes: str | None = None
    """A folder of the host, or ``nfs://SERVER/PATH``; null for one in the data directory."""
    shared: dict[Name, SharedFolderSettings] = {}

    @field_validator("homes")
    @classmethod
    def _is_a_place(cls, homes: str | None) -> str | None:
        from perijove_hub.files import places

        if homes is not None:
            places.homes(homes)
        return homes


class NetworkSettings(Section):
    """What containers reach; Docker only."""

    allow: list[Annotated[str, AfterValidator(checked)]] = []
    """Private addresses they may reach all the same: ``ADDRESS[/BITS][:PORT]``."""


class GpuSettings(Section):
    """The machine's GPUs."""

    devices: list[str] | None = None
    """Device ids to hand out, such as ``GPU-5ac6…``; null for all that ``nvidia-smi`` lists."""
    shares: int = Field(default=1, ge=1, le=16)
    """How many workloads may share one device; 1 for exclusive use."""


class QuotaSettings(Section):
    """What a group may use within ``period_days``; null for no limit."""

    hours: float | None = Field(default=None, ge=0)
    gpu_hours: float | None = Field(default=None, ge=0)
    cost: float | None = Field(default=None, ge=0)


class UsageSettings(Section):
    """Accounting and quotas."""

    currency: str = "EUR"
    period_days: int = Field(default=30, ge=1, le=366)
    """The rolling window of quotas."""
    quotas: dict[str, QuotaSettings] = {}
    """By group."""
    grace_minutes: float = Field(default=10, ge=0, le=1440)
    """How long people may save their work after they were told that a quota is used up."""


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
    disk_mb: int = Field(default=10_240, ge=10)
    """Most that a run's files and log may take, in MiB; watched, in containers only."""
    inputs_mb: int = Field(default=32, ge=0, le=40)
    """Most that the files kept with one version may have together, in MiB; 40 is what fits into
    one request with a notebook."""
    max_output_mb: int = Field(default=256, ge=1, le=256)
    """Most of one output notebook, in MiB; what comes on top is left out, and said."""
    outputs_mb: int = Field(default=256, ge=0, le=2048)
    """Most that is kept of the files a run leaves in its folder ``outputs``, in MiB."""
    concurrency: int = Field(default=4, ge=1)
    """Most runs at once on one worker."""
    group_concurrency: int | None = Field(default=None, ge=1)
    """Most runs at once of all jobs of one group; null for no limit."""
    keep_days: int | None = Field(default=None, ge=1, le=36_500)
    """Days until the outputs of ended runs are deleted, where a job does not say; null for ever."""


class SmtpSettings(Section):
    """The mail server that e-mails are handed to."""

    host: str
    port: Port = 587
    starttls: bool = True
    sender: str = Field(pattern=r"^[^@\s]+@[^@\s]+$")
    """Address that e-mails come from."""
    user: str | None = None
    password_file: str | None = None
    """File that holds the password of ``user``; read anew for each e-mail."""

    def password(self) -> str:
        """Read the password. Raises ``OSError``."""
        return Path(self.password_file or "").read_text(encoding="utf-8").strip()

    @model_validator(mode="after")
    def _whole(self) -> SmtpSettings:
        if (self.user is None) != (self.password_file is None):
            raise ValueError("give both user and password_file, or neither")
        return self


class NotificationSettings(Section):
    """How people may have their jobs' runs told of."""

    allow: list[Annotated[str, AfterValidator(checked)]] = []
    """Private addresses that webhooks may reach, also without TLS: ``ADDRESS[/BITS][:PORT]``."""
    smtp: SmtpSettings | None = None
    """Null for no e-mails."""
    email_domains: list[str] = []
    """Domains that e-mails go to, such as ``example.org``; nobody is written to elsewhere."""


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
    notifications: NotificationSettings = NotificationSettings()
    models: ModelSettings = ModelSettings()
    workspaces: WorkspaceSettings = WorkspaceSettings()
    images: ImageSettings = ImageSettings()
    files: FileSettings = FileSettings()
    network: NetworkSettings = NetworkSettings()
    gpus: GpuSettings = GpuSettings()
    usage: UsageSettings = UsageSettings()


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
