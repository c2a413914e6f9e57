"""The settings file: what is wrong names itself, its line and the nearest right key."""

from __future__ import annotations

from pathlib import Path

import pytest

from perijove_hub.settings import Settings, SettingsError, load


def write(folder: Path, text: str) -> Path:
    path = folder / "perijove.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    """Return what ``load`` says against ``text``, without the folder's name."""
    with pytest.raises(SettingsError) as error:
        load(write(folder, text))
    return str(error.value).replace(f"{folder}/", "")


def test_no_file_gives_the_defaults():
    assert load(None) == Settings()
    assert load(None).hub.port == 8000


def test_a_whole_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("WAREHOUSE_PASSWORD", "s3cret")
    settings = load(
        write(
            tmp_path,
            """
            [hub]
            port = 9000
            [catalog]
            crawl_minutes = 5
            sources.demo = {path = "/data", groups = ["*"]}
            [catalog.sources.warehouse]
            url = "postgresql://reader:${WAREHOUSE_PASSWORD}@db/main"
            groups = ["research"]
            timeout_s = 10
            """,
        )
    )
    assert settings.hub.port == 9000
    assert settings.catalog.sources["demo"].groups == ["*"]
    assert settings.catalog.sources["warehouse"].url == "postgresql://reader:s3cret@db/main"


def test_the_defaults_of_two_files_do_not_share_their_sources(tmp_path):
    first = load(write(tmp_path, ""))
    first.catalog.sources.update(
        load(write(tmp_path, "[catalog.sources.a]\npath='/x'")).catalog.sources
    )
    assert load(write(tmp_path, "")).catalog.sources == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[hub]\n\nprot = 1\n",
            "perijove.toml:3: hub.prot: unknown key. Did you mean 'port'?",
        ),
        (
            "# first\n[hbu]\nport = 1\n",
            "perijove.toml:2: hbu: unknown key. Did you mean 'hub'?",
        ),
        (
            "[store]\nport = 8000\n",
            "perijove.toml:2: store.port: unknown key. 'port' belongs in [hub].",
        ),
        (
            "port = 8000\n",
            "perijove.toml:1: port: unknown key. 'port' belongs in [hub].",
        ),
        (
            "[hub]\ntimeout_s = 3\n",
            (
                "perijove.toml:2: hub.timeout_s: unknown key. "
                "'timeout_s' belongs in [catalog.sources.NAME] or [jobs] or [images]."
            ),
        ),
        (
            "[hub]\nmemory_md = 3\n",
            "perijove.toml:2: hub.memory_md: unknown key. Did you mean ",
        ),
        (
            "[catalog.sources.demo]\npath = '/x'\ngrups = []\n",
            "perijove.toml:3: catalog.sources.demo.grups: unknown key. Did you mean 'groups'?",
        ),
        (
            "[catalog.sources]\ndemo = {path = '/x', frobnicate = 1}\n",
            (
                "perijove.toml:2: catalog.sources.demo.frobnicate: unknown key. "
                "Known here: description, groups, path, row_limit, timeout_s, url."
            ),
        ),
        (
            "catalog.sources.demo.path = '/x'\n\ncatalog.sources.demo.grups = []\n",
            "perijove.toml:3: catalog.sources.demo.grups: unknown key. Did you mean 'groups'?",
        ),
        (
            "[catalog.'sources'.\"my.data\"]\npath = '/x'\n'grups' = []\n",
            (
                'perijove.toml:3: catalog.sources."my.data".grups: unknown key. '
                "Did you mean 'groups'?"
            ),
        ),
        (
            "[hub]\nproxy_command = [\n  'a',\n  'prot = 1',\n]\nprot = 1\n",
            "perijove.toml:6: hub.prot: unknown key. Did you mean 'port'?",
        ),
        (
            "[hub]\nproxy_command = [\n  'a',\n  7,\n]\n",
            "perijove.toml:2: hub.proxy_command.1: input should be a valid string (it is 7).",
        ),
        (
            "[catalog.sources.a]\ndescription = '''\n[hub]\nport = 'x''''\n\n[hub]\nport = 'x'\n",
            "perijove.toml:7: hub.port: input should be a valid integer.",
        ),
    ],
)
def test_a_wrong_key_names_its_line_and_the_nearest_right_one(tmp_path, text, said):
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[hub]\nport = 0\n",
            ":2: hub.port: input should be greater than or equal to 1 (it is 0).",
        ),
        ("[hub]\nport = '8000'\n", ":2: hub.port: input should be a valid integer."),
        ("[hub]\nport = true\n", ":2: hub.port: input should be a valid integer (it is True)."),
        ("[hub]\nspawner = 'dokcer'\n", ":2: hub.spawner: input should be 'local' or 'docker'"),
        ("hub = 3\n", ":1: hub: must be a table, written [hub]."),
        ("[catalog]\nsources = []\n", ":2: catalog.sources: must be a table"),
        ("[models]\ngateway_port = 'x'\n", ":2: models.gateway_port: input should be a valid int"),
        ("[catalog]\ncrawl_minutes = inf\n", ":2: catalog.crawl_minutes: "),
        (
            "[catalog.sources.demo]\npath='/x'\ngroups = 'all'\n",
            ":3: catalog.sources.demo.groups: must be a list",
        ),
        (
            "\n[catalog.sources.demo]\ngroups = []\n",
            ":2: catalog.sources.demo: a source needs exactly one of 'url' and 'path'.",
        ),
        (
            "[catalog.sources.'My Data']\npath = '/x'\n",
            ":1: catalog.sources.\"My Data\": 'My Data' cannot be a name; use up to 63",
        ),
        ("[hub\n", ":1: is not valid TOML: "),
        ("[hub]\nport = 1\nport = 2\n", ":3: is not valid TOML: "),
    ],
)
def test_a_wrong_value_names_its_line_and_what_it_should_be(tmp_path, text, said):
    assert said in refusal(tmp_path, text)


def test_every_mistake_is_named_at_once(tmp_path):
    assert len(refusal(tmp_path, "[hub]\nprot = 1\nport = 0\n").splitlines()) == 2


@pytest.mark.parametrize(
    "text",
    [
        "[store]\ndatabase = ['postgresql://u:hunter2@h/d']\n",
        "[catalog.sources.a]\nurl = ['postgresql://u:hunter2@h/d']\n",
        "[catalog.sources.a]\nurl = {p = 'hunter2'}\n",
        "[catalog.sources.a]\nurl = 'postgresql://u:hunter2@h/d'\npath = '/x'\n",
        "[catalog.sources.a]\nurl = 'x'\npassword = 'hunter2'\n",
        "[hub]\nport = 'hunter2'\n",
        "[catalog.sources.a]\nurl = 'postgresql://u:hunter2@h/d\n",
        "[catalog.sources]\na = 'postgresql://u:hunter2@h/d'\n",
    ],
)
def test_no_message_repeats_what_may_hold_a_password(tmp_path, text):
    assert "hunter2" not in refusal(tmp_path, text)


def test_an_unset_variable_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.delenv("NOT_SET_HERE", raising=False)
    said = refusal(tmp_path, "[store]\n\ndatabase = 'postgresql://u:${NOT_SET_HERE}@h/d'\n")
    assert said == (
        "perijove.toml:3: store.database: the environment variable 'NOT_SET_HERE' is not set; "
        "export it before starting Perijove."
    )


def test_a_missing_file_or_one_that_is_not_text_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"cannot be read \(No such file or directory\)"):
        load(tmp_path / "nowhere.toml")
    path = tmp_path / "image.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load(path)
