"""Culling: workspaces that nobody and nothing uses are shut off, after a warning."""
