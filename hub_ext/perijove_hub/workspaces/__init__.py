"""Workspaces: what people start, what runs, and how it ends."""
