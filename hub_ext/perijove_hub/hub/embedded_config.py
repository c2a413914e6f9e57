"""The ``jupyterhub_config.py`` of ``perijove up``."""

from perijove_hub.hub.configure import embed

embed(get_config())  # type: ignore[name-defined]  # noqa: F821 - traitlets injects it
