"""Write the packages of the image to a file, for whoever asks without starting anything.

A JSON list of ``[manager, name, version]``, as perijove_hub.images.probe reads it.
"""

import importlib.metadata
import json
import pathlib
import subprocess

found = [["pip", one.metadata["Name"], one.version] for one in importlib.metadata.distributions()]
status = "${db:Status-Abbrev}\t${Package}\t${Version}\n"
listed = subprocess.run(
    ["/usr/bin/dpkg-query", "-W", "-f", status], capture_output=True, text=True, check=True
)
for line in listed.stdout.splitlines():
    state, *package = line.split("\t")
    if state.startswith("ii"):
        found.append(["apt", *package])
pathlib.Path("/opt/perijove/packages.json").write_text(json.dumps(found), encoding="utf-8")
