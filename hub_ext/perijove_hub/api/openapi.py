"""Write the API's description, from which the front end's types are generated.

``python -m perijove_hub.api.openapi`` in a checkout writes ``labextension/openapi.json``;
with ``--check`` it writes nothing and fails when the file is stale.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from perijove_hub.api.app import create_app

DESCRIPTION = Path(__file__).resolve().parents[3] / "labextension" / "openapi.json"


def description() -> str:
    """Describe the API as JSON text that is the same for the same code."""
    return json.dumps(create_app(None).openapi(), indent=2, sort_keys=True) + "\n"


@click.command(help=__doc__)
@click.option("--check", is_flag=True, help="Fail when the file is not what the code says.")
def main(check: bool) -> None:
    """Write or check ``labextension/openapi.json``."""
    text = description()
    if not check:
        DESCRIPTION.write_text(text, encoding="utf-8")
    elif not DESCRIPTION.is_file() or DESCRIPTION.read_text(encoding="utf-8") != text:
        raise click.ClickException(
            f"{DESCRIPTION} is stale: run `jlpm run generate` in labextension/ and commit."
        )


if __name__ == "__main__":
    main()
