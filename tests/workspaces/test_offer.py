"""What the pages show: what can be started, what is selected, and what stands in the way."""

from __future__ import annotations

from datetime import timedelta

from perijove.types.base import Principal
from perijove.types.images import Package
from perijove.types.workspaces import Profile
from perijove_hub.context import Context
from perijove_hub.gpus import leases
from perijove_hub.images.service import record_packages
from perijove_hub.settings import QuotaSettings
from perijove_hub.store.models import ImageRow, ImageVersionRow, UsageRow, utcnow
from perijove_hub.workspaces import ledger, offer
from perijove_hub.workspaces.offer import Offer
from tests.workspaces.conftest import ADA, ADMIN, GRACE


def made(
    context: Context, who: Principal = ADA, *, local: bool = False, wanted: Profile | None = None
) -> Offer:
    with context.database.reading() as session:
        return offer.make(session, context, who, server="", local=local, wanted=wanted)


def remember(context: Context, **choice: object) -> None:
    with context.database.session() as session:
        ledger.of(session, "ada", "").choice = choice


def test_a_new_user_needs_one_click(offered: Context) -> None:
    found = made(offered)
    assert found.can_start
    assert found.summary == "cpu · small · JupyterLab"
    assert found.notices == []


def test_people_see_their_images_and_sizes_and_no_others(offered: Context) -> None:
    assert [card.name for card in made(offered).images] == ["adas", "cpu", "deep"]
    assert [card.name for card in made(offered, GRACE).images] == ["cpu", "deep"]
    assert [card.name for card in made(offered).sizes] == ["small", "medium", "large"]
    assert "gpu" in [card.name for card in made(offered, GRACE).sizes]


def test_the_last_choice_is_selected(offered: Context) -> None:
    remember(offered, image="deep", size="large", group="research", idle_minutes=120)
    chosen = made(offered).chosen
    assert (chosen["image"], chosen["size"]) == ("deep", "large")
    assert (chosen["group"], chosen["idle_minutes"]) == ("research", "120")


def test_what_is_no_longer_there_gives_way_to_the_default(offered: Context) -> None:
    remember(offered, image="gone", size="gone", interface="notebook", group="left", nonsense=1)
    chosen = made(offered).chosen
    assert (chosen["image"], chosen["size"], chosen["group"]) == ("cpu", "small", "lab")
    assert chosen["interface"] == "notebook"


def test_an_older_version_that_was_named_stays_to_be_chosen(offered: Context) -> None:
    remember(offered, image="cpu", version=1, pinned=True, runs="cpu@1")
    found = made(offered)
    assert found.chosen["image"] == "cpu@1"
    assert [card.reference for card in found.images] == ["cpu@1", "adas", "cpu", "deep"]


def test_a_link_selects_without_being_the_last_choice(offered: Context) -> None:
    found = made(offered, wanted=Profile(image="deep", size="medium"))
    assert found.summary == "deep · medium · JupyterLab"
    assert made(offered).summary == "cpu · small · JupyterLab"


def test_an_interface_that_the_image_lacks_is_not_selected(offered: Context) -> None:
    remember(offered, image="deep", interface="notebook")
    assert made(offered).chosen["interface"] == "lab"


def test_packages_are_searched_and_the_telling_ones_shown(offered: Context) -> None:
    with offered.database.session() as session:
        image = session.query(ImageRow).filter_by(name="deep").one()
        version = session.get_one(ImageVersionRow, (image.id, 1))
        pip = [("torch", "2.13"), ("zarr", "3.0"), ("numpy", "2.4")]
        record_packages(
            session,
            version,
            [Package(manager="pip", name=name, version=number) for name, number in pip]
            + [Package(manager="apt", name="libc6", version="2.36")],
        )
    card = next(card for card in made(offered).images if card.name == "deep")
    assert card.telling == ["torch 2.13", "numpy 2.4"]
    assert card.packages == ["numpy 2.4", "torch 2.13", "zarr 3.0"]


def test_prices_and_free_gpus_are_shown(offered: Context) -> None:
    def gpu() -> str:
        size = next(size for size in made(offered, GRACE).sizes if size.name == "gpu")
        assert size.price == "2.00 EUR an hour"
        assert size.has == "4 cores · 8 GiB"
        return size.gpus

    assert gpu() == "1 GPU; 1 of 1 free now"
    with offered.database.session() as session:
        leases.acquire(session, kind="run", holder="r", user="ada", gpus=1)
    assert gpu() == "1 GPU; 0 of 1 free now, so you would wait"


def test_without_an_image_it_says_what_to_do(context: Context) -> None:
    user, admin = made(context), made(context, ADMIN)
    assert not user.can_start
    assert "administrator" in user.notices[0].text
    assert "images/build" in admin.notices[0].text


def test_without_docker_no_image_is_needed(context: Context) -> None:
    found = made(context, local=True)
    assert found.can_start
    assert found.images == []
    assert found.summary == "small · JupyterLab"


def test_a_quota_that_is_used_up_is_said_with_figures(offered: Context) -> None:
    offered.settings.usage.quotas["lab"] = QuotaSettings(hours=1)
    now = utcnow()
    with offered.database.session() as session:
        session.add(
            UsageRow(
                kind="workspace",
                object="ada/",
                user="ada",
                group="lab",
                started_at=now - timedelta(hours=3),
                seen_at=now,
                ended_at=now,
            )
        )
    [notice] = made(offered).notices
    assert notice.level == "danger"
    assert "3 of its 1 hours" in notice.text


def test_the_last_ending_is_a_notice(offered: Context) -> None:
    with offered.database.session() as session:
        ledger.note(session, user="ada", server="", ending="It was idle.")
    assert [notice.text for notice in made(offered).notices] == ["It was idle."]


def test_a_home_over_its_limit_is_told_and_a_terminal_is_the_way_out(offered: Context) -> None:
    home = offered.data.homes / "ada"
    home.mkdir()
    (home / "big").write_bytes(bytes(2**20))
    offered.settings.workspaces.home_mb = 0  # type: ignore[assignment]
    with offered.database.session() as session:
        ledger.of(session, "ada", "").home_bytes = 2**20
    [notice] = made(offered).notices
    assert notice.title == "Your home is full"
    assert "big" in notice.text
    assert "terminal" in notice.text
