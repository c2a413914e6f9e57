"""Alembic's environment: one migration per change of ``store.models``."""
