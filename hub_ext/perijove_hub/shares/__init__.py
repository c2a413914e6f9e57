"""Notebooks that people share: copies, for a user or a group, until they expire."""
