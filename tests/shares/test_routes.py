"""Who may share what with whom, and who sees it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from perijove_hub.shares import service
from perijove_hub.shares.duty import ShareDuty
from perijove_hub.store.models import (
    AuditRow,
    LooseBlobRow,
    ShareRow,
    WorkspaceRow,
    utcnow,
)
from perijove_hub.store.sweep import GRACE
from tests.fixtures.api import Api

NOTEBOOK: dict[str, Any] = {
    "cells": [
        {
            "id": "a",
            "cell_type": "code",
            "metadata": {"trusted": True, "tags": ["kept"]},
            "source": "1 + 1",
            "execution_count": 1,
            "outputs": [
                {
                    "output_type": "display_data",
                    "metadata": {},
                    "data": {"text/html": "<script>parent.theirs = 1</script>"},
                }
            ],
        }
    ],
    "metadata": {"signature": "sha256:0", "kernelspec": {"name": "python3", "display_name": "P"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


def body(**more: Any) -> dict[str, Any]:
    """A share's request."""
    return {"name": "report.ipynb", "notebook": NOTEBOOK, **more}


def share(client: httpx.Client, **more: Any) -> dict[str, Any]:
    """Share and return what the API says of it."""
    answer = client.post("/shares", json=body(**more))
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def listed(client: httpx.Client, **query: str) -> list[str]:
    """The ids in a list."""
    return [one["id"] for one in client.get("/shares", params=query).json()["items"]]


@pytest.fixture
def ada(api: Api) -> Iterator[httpx.Client]:
    """ada, of research."""
    with api.client("ada") as client:
        yield client


@pytest.fixture
def grace(api: Api) -> Iterator[httpx.Client]:
    """grace, of risk."""
    with api.client("grace") as client:
        yield client


@pytest.fixture
def admin(api: Api) -> Iterator[httpx.Client]:
    """The administrator."""
    with api.client("admin") as client:
        yield client


@pytest.fixture
def in_research(api: Api) -> Iterator[None]:
    """grace in ada's group too, while the test asks for it."""
    with admins_hub(api) as hub:
        hub.post("/groups/research/users", json={"users": ["grace"]}).raise_for_status()
        yield
        hub.request("DELETE", "/groups/research/users", json={"users": ["grace"]})


def admins_hub(api: Api) -> httpx.Client:
    """The Hub's own API, as the administrator."""
    token = api.hub.token("admin")
    return httpx.Client(
        base_url=api.hub.api_url, headers={"Authorization": f"token {token}"}, trust_env=False
    )


def test_a_user_gets_the_copy_as_it_was_but_trusted_by_nobody(
    ada: httpx.Client, grace: httpx.Client
) -> None:
    sent = share(ada, receiver="grace", message="Look at the last cell")
    assert listed(grace) == listed(grace, box="received") == [sent["id"]]
    assert listed(grace, box="sent") == []
    got = grace.get(f"/shares/{sent['id']}").json()
    assert (got["sender"], got["receiver"], got["group"]) == ("ada", "grace", None)
    assert (got["name"], got["message"]) == ("report.ipynb", "Look at the last cell")
    answer = grace.get(f"/shares/{sent['id']}/notebook")
    assert answer.headers["x-content-type-options"] == "nosniff"
    expected = copy.deepcopy(NOTEBOOK)
    del expected["cells"][0]["metadata"]["trusted"]
    del expected["metadata"]["signature"]
    assert answer.json() == expected


def test_a_group_gets_it(ada: httpx.Client, api: Api, in_research: None) -> None:
    sent = share(ada, group="research")
    with api.client("grace") as grace:
        assert listed(grace, box="received") == [sent["id"]]
        assert grace.get(f"/shares/{sent['id']}/notebook").status_code == 200


def test_who_leaves_the_group_sees_it_no_more(api: Api, ada: httpx.Client) -> None:
    with admins_hub(api) as hub:
        hub.post("/groups/research/users", json={"users": ["grace"]}).raise_for_status()
        sent = share(ada, group="research")
        with api.client("grace") as grace:
            assert grace.get(f"/shares/{sent['id']}").status_code == 200
        gone = hub.request("DELETE", "/groups/research/users", json={"users": ["grace"]})
        gone.raise_for_status()
    with api.client("grace") as grace:
        hidden(grace, sent["id"])


def hidden(client: httpx.Client, share_id: str) -> None:
    """The share is to ``client`` as if it had never been."""
    for method, path in (("GET", ""), ("GET", "/notebook"), ("DELETE", "")):
        answer = client.request(method, f"/shares/{share_id}{path}")
        nothing = client.request(method, f"/shares/{'0' * 20}{path}")
        assert (answer.status_code, answer.text) == (404, nothing.text), (method, path)
    assert listed(client) == []


def test_others_see_nothing(ada: httpx.Client, grace: httpx.Client) -> None:
    hidden(grace, share(ada, group="research")["id"])
    hidden(grace, share(ada, receiver="admin")["id"])


def test_an_expired_one_is_gone_for_everybody(
    api: Api, ada: httpx.Client, grace: httpx.Client, admin: httpx.Client
) -> None:
    sent = share(ada, receiver="grace", expires_days=1)
    with api.context.database.session() as session:
        session.get_one(ShareRow, sent["id"]).expires_at = utcnow() - timedelta(seconds=1)
    for client in (ada, grace, admin):
        hidden(client, sent["id"])
    share(ada, receiver="grace")
    with api.context.database.session() as session:
        assert session.get(ShareRow, sent["id"]) is None


def test_the_sender_and_an_administrator_take_it_back_and_nobody_else(
    ada: httpx.Client, grace: httpx.Client, admin: httpx.Client, api: Api
) -> None:
    for who in (ada, admin):
        sent = share(ada, receiver="grace")
        refused = grace.delete(f"/shares/{sent['id']}")
        assert refused.status_code == 403
        assert who.get(f"/shares/{sent['id']}").status_code == 200
        assert who.delete(f"/shares/{sent['id']}").status_code == 204
        hidden(grace, sent["id"])
    with api.context.database.reading() as session:
        verbs = [row.verb for row in session.query(AuditRow).order_by(AuditRow.id)]
    assert verbs == ["share.create", "share.delete"] * 2


def test_an_administrators_list_is_their_own(ada: httpx.Client, admin: httpx.Client) -> None:
    share(ada, receiver="grace")
    assert listed(admin) == []


def test_the_image_is_that_of_the_senders_workspace(api: Api, ada: httpx.Client) -> None:
    ran = {"image": "cpu", "version": 1, "runs": "cpu@1", "digest": "sha256:1"}
    local = {"image": None, "version": None, "runs": None, "digest": None}
    with api.context.database.session() as session:
        session.add(WorkspaceRow(user="ada", choice=ran))
        big = {"runs": "gpu@2", "digest": "sha256:2"}
        session.add(WorkspaceRow(user="ada", server="big", choice=big))
        session.add(WorkspaceRow(user="ada", server="local", choice=local))
        session.add(WorkspaceRow(user="ada", server="new"))
    servers = ("", "big", "local", "new", "none")
    found = [share(ada, receiver="grace", server=server) for server in servers]
    assert [(one["image"], one["image_digest"]) for one in found] == [
        ("cpu@1", "sha256:1"),
        ("gpu@2", "sha256:2"),
        (None, None),
        (None, None),
        (None, None),
    ]
    told = ada.post("/shares", json=body(receiver="grace", image="evil@1"))
    assert told.status_code == 422


def test_words_find_name_message_and_sender(ada: httpx.Client, grace: httpx.Client) -> None:
    one = share(ada, receiver="grace", name="Sales 50%.ipynb")["id"]
    two = share(ada, receiver="grace", message="about churn")["id"]
    assert listed(grace, q="sales 50%") == [one]
    assert listed(grace, q="CHURN") == [two]
    assert listed(grace, q="ada") == [two, one]
    assert listed(grace, q="_") == listed(grace, q="nothing") == []


def test_the_list_pages_from_the_newest(ada: httpx.Client, grace: httpx.Client) -> None:
    sent = [share(ada, receiver="grace")["id"] for _ in range(3)]
    first = grace.get("/shares", params={"limit": 2}).json()
    rest = grace.get("/shares", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == sent[::-1]


def test_a_create_sent_twice_with_one_key_is_one_share(ada: httpx.Client) -> None:
    for _ in range(2):
        again = ada.post("/shares", json=body(receiver="grace"), headers={"Idempotency-Key": "k"})
        assert again.status_code == 201
    assert len(listed(ada)) == 1


#: What is wrong in a request, and the field that is named.
WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "receiver"),
    ({"receiver": "grace", "group": "research"}, "receiver"),
    ({"receiver": "nobody-of-this-name"}, "receiver"),
    ({"receiver": "../users"}, "receiver"),
    ({"receiver": "ada"}, "receiver"),
    ({"receiver": "research"}, "receiver"),
    ({"group": "risk"}, "group"),
    ({"receiver": "grace", "expires_days": 0}, "expires_days"),
    ({"receiver": "grace", "expires_days": 10**9}, "expires_days"),
    ({"receiver": "grace", "message": "x" * 2001}, "message"),
    ({"receiver": "grace", "notebook": {"cells": 1}}, "notebook"),
    ({"receiver": "grace", "notebook": {}}, "notebook"),
    ({"receiver": "grace", "notebook": {**NOTEBOOK, "nbformat": 99}}, "notebook"),
]


def test_what_is_wrong_names_its_field(ada: httpx.Client) -> None:
    for wrong, field in WRONG:
        answer = ada.post("/shares", json=body(**wrong))
        assert answer.status_code == 422, (wrong, answer.text)
        problem = answer.json()
        assert problem["field"].startswith(field)
        # Whom it cannot be for is named, with what to do.
        if field in ("receiver", "group") and wrong.get(field):
            assert wrong[field] in problem["detail"]
            assert problem["fix"]
    assert "--group research" in ada.post("/shares", json=body(receiver="research")).text
    assert listed(ada) == []


NO_NAMES = [
    "../x.ipynb",
    "/etc/x.ipynb",
    "a/b.ipynb",
    "a\\b.ipynb",
    "..",
    "",
    ".ipynb",
    ".hidden.ipynb",
    "x.py",
    "x\0.ipynb",
    "x\n.ipynb",
    "x\u202egpj.ipynb",
    "x" * 300 + ".ipynb",
    "ü" * 98 + ".ipynb",
    " x.ipynb",
    "x\u200b.ipynb",
    "x\u2066.ipynb",
    "\ufeffx.ipynb",
    "\ud800.ipynb",
]


def test_a_name_that_is_not_one_files_own_is_refused(ada: httpx.Client) -> None:
    for name in NO_NAMES:
        content = json.dumps(body(receiver="grace", name=name)).encode()
        answer = ada.post("/shares", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422, (name, answer.text)
        if "\ud800" not in name:
            problem = answer.json()
            assert problem["field"] == "name"
            assert problem["fix"] == "Rename the file, then share it again."
    assert listed(ada) == []
    turned = ada.post("/shares", json=body(receiver="grace", name="x\u202egpj.ipynb")).json()
    assert "without U+202E" in turned["detail"]
    assert "not 'x\\u202egpj.ipynb'" in turned["detail"], "and the character itself is not shown"


def test_any_other_name_is_kept_as_it_is(ada: httpx.Client) -> None:
    joined = ("👩\u200d💻.ipynb", "می\u200cشود.ipynb")
    for name in ("Übersicht 漢字 🎉.ipynb", "דוח.ipynb", "%2e%2e.ipynb", "a%2fb.ipynb", *joined):
        assert share(ada, receiver="grace", name=name)["name"] == name


def test_a_notebook_that_is_too_large_is_refused_with_its_size(ada: httpx.Client) -> None:
    large = copy.deepcopy(NOTEBOOK)
    large["cells"][0]["outputs"][0]["data"]["text/html"] = "x" * 51_000_000
    answer = ada.post("/shares", json=body(receiver="grace", notebook=large))
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["field"] == "notebook"
    assert "has 51 MB; at most 50" in problem["detail"]
    assert "outputs" in problem["fix"]
    # FastAPI repeats no such value in its answer.
    assert len(answer.content) < 1000


def test_a_request_of_100_mb_is_refused_with_its_size(ada: httpx.Client) -> None:
    answer = ada.post(
        "/shares", content=b" " * 100_000_000, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 413
    assert "95 MiB; at most 64" in answer.json()["detail"]


def test_nobody_fills_the_disk_with_shares(
    api: Api, ada: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_SENT", 2)
    kept = [share(ada, receiver="grace")["id"] for _ in range(2)]
    assert ada.post("/shares", json=body(receiver="grace")).status_code == 409
    ada.delete(f"/shares/{kept[0]}").raise_for_status()
    share(ada, receiver="grace")
    # What was refused was not even stored.
    large = {**NOTEBOOK, "metadata": {"refused": True}}
    assert ada.post("/shares", json=body(receiver="grace", notebook=large)).status_code == 409
    with api.context.database.reading() as session:
        assert session.query(LooseBlobRow).count() == 1


def test_an_id_that_nothing_has_is_404(ada: httpx.Client) -> None:
    for share_id in ("x", "%2e%2e", "..%2fjobs", "%00", "x" * 300, "ü"):
        for path in (f"/shares/{share_id}", f"/shares/{share_id}/notebook"):
            assert ada.get(path).status_code == 404, path


def test_who_dismisses_a_share_sees_it_no_more(
    api: Api, ada: httpx.Client, admin: httpx.Client, in_research: None
) -> None:
    sent = share(ada, group="research")
    at = f"/shares/{sent['id']}"
    with api.client("grace") as grace:
        for _ in range(2):
            assert grace.post(f"{at}/dismiss").status_code == 204
        hidden(grace, sent["id"])
        assert grace.delete(at).status_code == 404
    # To everybody else it is what it was.
    assert listed(ada) == [sent["id"]]
    assert ada.get(at).json() == sent
    assert admin.get(f"{at}/notebook").status_code == ada.get(f"{at}/notebook").status_code == 200
    with api.context.database.reading() as session:
        verbs = [row.verb for row in session.query(AuditRow).order_by(AuditRow.id)]
    assert verbs == ["share.create", "share.dismiss"]
    assert ada.delete(at).status_code == 204


def test_only_who_was_given_it_dismisses_it(
    ada: httpx.Client, grace: httpx.Client, admin: httpx.Client
) -> None:
    ours, theirs = share(ada, group="research")["id"], share(ada, receiver="grace")["id"]
    for who, id_, status in (
        (ada, ours, 403),
        (ada, theirs, 403),
        (admin, theirs, 403),
        (grace, ours, 404),
        (grace, "nothing", 404),
    ):
        assert who.post(f"/shares/{id_}/dismiss").status_code == status
    assert listed(grace) == [theirs]


def test_what_the_only_receiver_dismisses_stays_with_the_sender_without_its_copy(
    api: Api, ada: httpx.Client, grace: httpx.Client
) -> None:
    sent = share(ada, receiver="grace")
    assert sent["dismissed"] is False
    grace.post(f"/shares/{sent['id']}/dismiss").raise_for_status()
    hidden(grace, sent["id"])
    assert ada.get(f"/shares/{sent['id']}").json() == {**sent, "dismissed": True}
    gone = ada.get(f"/shares/{sent['id']}/notebook")
    assert gone.status_code == 404
    assert "grace has dismissed 'report.ipynb'" in gone.json()["detail"]
    clear_up_an_hour_later(api)
    assert stored(api) == []
    assert ada.delete(f"/shares/{sent['id']}").status_code == 204


def test_the_copy_of_a_share_goes_with_the_last_that_has_it(
    api: Api, ada: httpx.Client, grace: httpx.Client
) -> None:
    taken_back, kept, ended = (share(ada, receiver="grace")["id"] for _ in range(3))
    ada.delete(f"/shares/{taken_back}").raise_for_status()
    with api.context.database.session() as session:
        session.get_one(ShareRow, ended).expires_at = utcnow()
    clear_up_an_hour_later(api)
    assert grace.get(f"/shares/{kept}/notebook").status_code == 200
    with api.context.database.session() as session:
        assert [row.id for row in session.query(ShareRow)] == [kept]
        session.get_one(ShareRow, kept).expires_at = utcnow()
    ShareDuty(api.context).tick()
    assert len(stored(api)) == 1, "it is loose from now on"
    clear_up_an_hour_later(api)
    assert stored(api) == []


def clear_up_an_hour_later(api: Api) -> None:
    """Do what the worker does, with what is loose an hour older."""
    with api.context.database.session() as session:
        for row in session.query(LooseBlobRow):
            row.since -= GRACE
    ShareDuty(api.context).tick()


def stored(api: Api) -> list[str]:
    """The blobs there are."""
    folder = api.context.data.root / "blobs"
    return [path.name for path in folder.rglob("*") if path.is_file()]


def test_a_token_that_only_reads_lists_but_gets_no_notebook(api: Api, ada: httpx.Client) -> None:
    sent = share(ada, group="research")
    scopes = ["access:services!service=perijove", "custom:perijove:read"]
    with api.client("ada", token=api.hub.token("ada", scopes=scopes)) as reader:
        assert listed(reader) == [sent["id"]]
        assert reader.get(f"/shares/{sent['id']}/notebook").status_code == 403
        assert reader.post("/shares", json=body(receiver="grace")).status_code == 403
        assert reader.post(f"/shares/{sent['id']}/dismiss").status_code == 403
        assert reader.delete(f"/shares/{sent['id']}").status_code == 403
