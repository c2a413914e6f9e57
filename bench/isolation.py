"""Ways out of a container, each tried for real, and what came of it.

    python bench/isolation.py [--json]

Needs root, a Docker engine and the image perijove/cpu on it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.docker.attempts import as_json, attempts


def main() -> int:
    """Print the matrix; status 1 when an attempt came out otherwise than it has to."""
    with tempfile.TemporaryDirectory() as folder:
        rows = attempts(Path(folder))
    if "--json" in sys.argv:
        print(as_json(rows))
    else:
        print("## Isolation: attempts from a container, and what came of them\n")
        print("| Attempt | Has to be | Outcome | |\n|---|---|---|---|")
        for row in rows:
            mark = "" if row.held else "**broken**"
            print(f"| {row.attempt} | {row.expected} | {row.outcome} | {mark} |")
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
