"""What a person can start now, as the spawn page and the home page show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from perijove.types.base import Principal
from perijove.types.images import Choice as Image
from perijove.types.workspaces import Interface, Profile
from perijove_hub.context import Context
from perijove_hub.exceptions import Invalid
from perijove_hub.files import limit
from perijove_hub.gpus import leases
from perijove_hub.images import service as images
from perijove_hub.settings import Settings, SizeSettings
from perijove_hub.store.models import ImageRow, PackageRow, WorkspaceRow
from perijove_hub.usage import quotas
from perijove_hub.workspaces import ledger
from perijove_hub.workspaces.choice import (
    TITLES,
    default_idle,
    default_size,
    local_interfaces,
    may_choose,
    most_idle,
    parse,
)

#: Packages that tell people what an image is for, the most telling first.
TELLING = (
    "torch",
    "tensorflow",
    "jax",
    "transformers",
    "xgboost",
    "lightgbm",
    "scikit-learn",
    "polars",
    "pandas",
    "duckdb",
    "pyspark",
    "geopandas",
    "statsmodels",
    "mlflow",
    "matplotlib",
    "numpy",
)
SHOWN = 4
#: Idle times that the page offers, in minutes, as far as they lie within the bounds.
IDLE = (10, 20, 30, 60, 120, 240, 480, 1440)


@dataclass(frozen=True)
class ImageCard:
    """An image to choose."""

    reference: str
    name: str
    version: int
    description: str
    size: str
    telling: list[str]
    packages: list[str]
    interfaces: list[str]
    gpu: bool


@dataclass(frozen=True)
class SizeCard:
    """A size to choose."""

    name: str
    description: str
    has: str
    """``2 cores · 4 GiB``."""
    gpus: str
    price: str


@dataclass(frozen=True)
class Notice:
    """Something the person should know before they start."""

    level: str
    """``danger``, ``warning`` or ``info``."""
    title: str
    """Empty where the text says it all."""
    text: str


@dataclass
class Offer:
    """Everything the pages show."""

    images: list[ImageCard]
    sizes: list[SizeCard]
    interfaces: list[tuple[str, str]]
    groups: list[str]
    idle: list[int]
    idle_usual: str
    chosen: dict[str, str]
    """What is selected, by field; the empty text for the default."""
    local: bool
    summary: str
    notices: list[Notice] = field(default_factory=list)
    can_start: bool = True


def make(
    session: Session,
    context: Context,
    who: Principal,
    *,
    server: str,
    local: bool,
    wanted: Profile | None = None,
) -> Offer:
    """Put together what ``who`` can start; ``wanted`` is selected instead of the last choice."""
    settings = context.settings
    row = session.get(WorkspaceRow, (who.name, server))
    last = ledger.asked(row.choice) if row is not None else {}
    wanted = wanted or _profile(last)
    shown = [] if local else _images(session, settings, who, wanted.image)
    sizes = {n: s for n, s in settings.workspaces.sizes.items() if may_choose(s, who)}
    free = leases.free(session)
    offer = Offer(
        images=shown,
        sizes=[_size(settings, name, size, free) for name, size in sizes.items()],
        interfaces=_interfaces(shown, local=local),
        groups=sorted(who.groups),
        idle=_idle(settings),
        idle_usual=_idle_usual(settings, sizes.values()),
        chosen=_chosen(settings, who, wanted, shown, sizes),
        local=local,
        summary="",
    )
    offer.summary = " · ".join(
        part
        for part in (
            offer.chosen["image"],
            offer.chosen["size"],
            dict(offer.interfaces).get(offer.chosen["interface"]),
        )
        if part
    )
    _notices(session, context, who, offer, row)
    return offer


def _profile(options: dict[str, object]) -> Profile:
    try:
        return parse(options)
    except Invalid:
        # Stored by another version of Perijove.
        return Profile()


def _images(
    session: Session, settings: Settings, who: Principal, wanted: str | None
) -> list[ImageCard]:
    offered = images.choices(session, who.name, who.groups, who.admin)
    packages = _packages(session, offered)
    cards = [_card(one, packages[one.name, one.version], one.name) for one in offered]
    if wanted is not None and "@" in wanted:
        # A version that was chosen on purpose stays there to be chosen.
        try:
            version = images.startable(session, who, wanted, settings)
        except Invalid:
            return cards
        image = session.get_one(ImageRow, version.image_id)
        pinned = Image(
            name=image.name,
            version=version.version,
            digest=version.digest or "",
            description=image.description,
            interfaces=list(version.interfaces),
            gpu=version.gpu,
            size_bytes=version.size_bytes,
            builtin=image.builtin,
            owner=image.owner,
        )
        found = _packages(session, [pinned])
        cards.insert(0, _card(pinned, found[pinned.name, pinned.version], wanted))
    return cards


def _packages(
    session: Session, offered: Sequence[Image]
) -> defaultdict[tuple[str, int], dict[str, str]]:
    names = [one.name for one in offered]
    found: defaultdict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    rows = session.execute(
        select(ImageRow.name, PackageRow.version, PackageRow.name, PackageRow.package_version)
        .join(ImageRow, ImageRow.id == PackageRow.image_id)
        .where(ImageRow.name.in_(names), PackageRow.manager != "apt")
        .order_by(PackageRow.name)
    )
    for image, version, package, number in rows:
        found[image, version][package] = number
    return found


def _card(image: Image, packages: dict[str, str], reference: str) -> ImageCard:
    telling = [f"{name} {packages[name]}" for name in TELLING if name in packages][:SHOWN]
    return ImageCard(
        reference=reference,
        name=image.name,
        version=image.version,
        description=image.description,
        size=_bytes(image.size_bytes) if image.size_bytes else "",
        telling=telling,
        packages=[f"{name} {number}" for name, number in packages.items()],
        interfaces=list(image.interfaces),
        gpu=image.gpu,
    )


def _size(settings: Settings, name: str, size: SizeSettings, free: tuple[float, int]) -> SizeCard:
    cores = "1 core" if size.cpu == 1 else f"{size.cpu:g} cores"
    price = f"{size.price:.2f} {settings.usage.currency} an hour" if size.price else ""
    return SizeCard(name, size.description, f"{cores} · {memory(size)}", _gpus(size, free), price)


def memory(size: SizeSettings) -> str:
    """Write ``4 GiB`` or ``512 MiB``."""
    gib = size.memory_mb / 1024
    return f"{gib:g} GiB" if gib >= 1 and gib == round(gib, 1) else f"{size.memory_mb} MiB"


def _gpus(size: SizeSettings, free: tuple[float, int]) -> str:
    if not size.gpus:
        return ""
    unused, there = free
    what = (
        "1 GPU" if size.gpus == 1 else f"{size.gpus:g} GPUs" if size.gpus > 1 else "part of a GPU"
    )
    if not there:
        return f"{what}; this machine has none"
    wait = "" if unused >= size.gpus else ", so you would wait"
    return f"{what}; {unused:g} of {there} free now{wait}"


def _interfaces(cards: Sequence[ImageCard], *, local: bool) -> list[tuple[str, str]]:
    offered = set(local_interfaces()) if local else {n for c in cards for n in c.interfaces}
    return [(kind.value, TITLES[kind]) for kind in Interface if kind.value in offered]


def _idle(settings: Settings) -> list[int]:
    bounds = settings.workspaces.idle
    within = {m for m in IDLE if bounds.least_minutes <= m <= bounds.most_minutes}
    return sorted({*within, bounds.least_minutes, bounds.most_minutes})


def _idle_usual(settings: Settings, sizes: Iterable[SizeSettings]) -> str:
    """Say what happens to who chooses no idle time."""
    usual = f"{settings.workspaces.idle.minutes} minutes"
    gpu = next((size for size in sizes if size.gpus), None)
    if gpu is None or default_idle(settings, gpu) == settings.workspaces.idle.minutes:
        return usual
    return f"{usual}, {most_idle(settings, gpu)} with a GPU"


def _chosen(
    settings: Settings,
    who: Principal,
    wanted: Profile,
    shown: Sequence[ImageCard],
    sizes: dict[str, SizeSettings],
) -> dict[str, str]:
    """Select what was wanted as far as it is offered, and the defaults elsewhere."""
    by_reference = {card.reference: card for card in shown}
    usual = settings.workspaces.default_image
    image = next((r for r in (wanted.image, usual) if r in by_reference), None)
    image = image or next(iter(by_reference), "")
    has = by_reference[image].interfaces if image in by_reference else local_interfaces()
    interface = wanted.interface.value if wanted.interface else "lab"
    if interface not in has:
        interface = "lab" if "lab" in has or not has else has[0]
    group = wanted.group if wanted.group in who.groups else min(who.groups, default="")
    idle = wanted.idle_minutes
    bounds = settings.workspaces.idle
    if idle is not None and not bounds.least_minutes <= idle <= bounds.most_minutes:
        idle = None
    return {
        "image": image,
        "size": wanted.size if wanted.size in sizes else default_size(settings, who),
        "interface": interface,
        "group": group or "",
        "idle_minutes": str(idle) if idle is not None else "",
    }


def _notices(
    session: Session, context: Context, who: Principal, offer: Offer, row: WorkspaceRow | None
) -> None:
    if not offer.local and not offer.images:
        offer.can_start = False
        offer.notices.append(
            Notice(
                "danger",
                "No image is approved for you",
                "Build Perijove's own with images/build and start perijove up again, or approve "
                "one: perijove images approve NAME@VERSION."
                if who.admin
                else "Ask an administrator to approve one, or to share one with you.",
            )
        )
    if not offer.sizes:
        offer.can_start = False
        offer.notices.append(
            Notice("danger", "No size is yours", "Ask an administrator for [workspaces.sizes].")
        )
    over = quotas.check(
        session,
        context.settings,
        user=who.name,
        group=offer.chosen["group"] or None,
        size=offer.chosen["size"],
    )
    if over:
        offer.notices.append(Notice("danger", "The quota is used up", over))
    home = limit.usage(context, session, who.name)
    full = limit.over_limit(context, session, who.name)
    if full:
        offer.notices.append(Notice("danger", "Your home is full", full))
    elif home.warning:
        offer.notices.append(Notice("warning", "Your home is nearly full", home.warning))
    if row is not None and row.ending:
        offer.notices.append(Notice("warning", "", row.ending))


def _bytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
