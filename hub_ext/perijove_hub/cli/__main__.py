"""``python -m perijove_hub.cli``."""

from perijove_hub.cli.main import main

main()
