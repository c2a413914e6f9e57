"""Workspaces: what a start may ask for, the line of starts, and the book of what ran."""
