"""The process that waits: what it imports, whom it listens to, what it refuses."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from perijove.warm import ClaimError, become, wait
from tests.fixtures.processes import pythonpath


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": pythonpath(), **environment},
    )


def test_a_server_is_loaded_without_the_hub_and_the_address_grammar() -> None:
    done = python(
        "import sys\n"
        "from perijove.singleuser import load\n"
        "main = load()\n"
        "heavy = {'sqlalchemy', 'alembic', 'jupyterhub.orm', 'jupyterhub.handlers', 'lark'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert main.__func__.__name__ == 'launch_instance', main\n"
        "from jupyterhub.services.auth import HubOAuth\n"
        "auth = HubOAuth(access_scopes={'access:servers!user=ada'}, api_token='x')\n"
        "ada = {'name': 'ada', 'scopes': ['access:servers!user=ada']}\n"
        "eve = {'name': 'eve', 'scopes': ['access:servers!user=eve']}\n"
        "assert auth.check_scopes(auth.access_scopes, ada)\n"
        "assert not auth.check_scopes(auth.access_scopes, eve)\n"
    )
    assert done.returncode == 0, done.stderr


def test_who_wants_what_was_left_out_gets_the_real_thing() -> None:
    done = python(
        "from perijove.singleuser import load\n"
        "load()\n"
        "from jupyterhub import orm, roles\n"
        "from jupyterhub.handlers.pages import HealthCheckHandler\n"
        "import sqlalchemy\n"
        "assert orm.User.__tablename__ == 'users' and sqlalchemy.select\n"
        "import jsonschema\n"
        "from jsonschema import FormatChecker\n"
        "checker = FormatChecker()\n"
        "checker.check('http://example.org/ä', 'iri')\n"
        "try:\n"
        "    checker.check('no iri at all', 'iri')\n"
        "except jsonschema.FormatError:\n"
        "    print('refused')\n"
    )
    assert done.returncode == 0, done.stderr
    # Our own environments leave the grammar's package out; then jsonschema does without.
    there = importlib.util.find_spec("rfc3987_syntax") is not None
    assert done.stdout.split() == (["refused"] if there else [])


def test_a_release_that_needs_what_was_left_out_gets_it() -> None:
    done = python(
        "import sys\n"
        "from perijove import singleuser\n"
        # A stand-in without the name that is imported from it.
        "singleuser._UNUSED['jupyterhub.handlers.pages'] = ()\n"
        "main = singleuser.load()\n"
        "assert 'jupyterhub.handlers' in sys.modules and 'sqlalchemy.orm' in sys.modules\n"
        "assert main.__func__.__name__ == 'launch_instance'\n"
    )
    assert done.returncode == 0, done.stderr


def test_the_wait_ends_with_a_whole_claim(tmp_path: Path) -> None:
    pipe = tmp_path / "claim"
    os.mkfifo(pipe)

    def host() -> None:
        for content in (b"", b"", b'{"environment": {}}'):
            with pipe.open("wb") as out:
                out.write(content)

    thread = threading.Thread(target=host, daemon=True)
    thread.start()
    assert wait(pipe) == {"environment": {}}
    thread.join(10)


@pytest.mark.parametrize("content", ['{"environment": {"JUPYTERHUB_API_TOKEN": "secret', "[]"])
def test_a_claim_that_broke_off_ends_the_process_and_is_not_repeated(
    tmp_path: Path, content: str
) -> None:
    pipe = tmp_path / "claim"
    pipe.write_text(content)
    with pytest.raises(ClaimError) as caught:
        wait(pipe)
    assert "secret" not in str(caught.value)


def test_without_its_folders_it_does_not_become_anyone(tmp_path: Path) -> None:
    before = dict(os.environ)
    claim = {"environment": {"USER": "ada"}, "arguments": [], "folders": [str(tmp_path)]}
    with pytest.raises(ClaimError, match="not mounted here"):
        become(claim)
    assert dict(os.environ) == before


def test_packages_at_home_come_behind_the_images_and_before_the_systems(tmp_path: Path) -> None:
    code = (
        "import json, site, sys\n"
        "from pathlib import Path\n"
        "from perijove import warm\n"
        "site.ENABLE_USER_SITE = True\n"
        "place = Path(site.getusersitepackages())\n"
        "assert str(place) not in sys.path\n"
        "place.mkdir(parents=True)\n"
        "(place / 'mine.pth').write_text(str(place / 'linked'))\n"
        "(place / 'linked').mkdir()\n"
        "sys.path.append('/usr/lib/python3/dist-packages')\n"
        "site.getsitepackages = lambda prefixes: ['/usr/lib/python3/dist-packages']\n"
        "warm._see_packages_at_home()\n"
        "print(json.dumps(sys.path[-3:]))\n"
    )
    done = python(code, PYTHONUSERBASE=str(tmp_path / "base"))
    assert done.returncode == 0, done.stderr
    place, linked, system = json.loads(done.stdout)
    assert place.startswith(str(tmp_path))
    assert linked == f"{place}/linked"
    assert system == "/usr/lib/python3/dist-packages"
