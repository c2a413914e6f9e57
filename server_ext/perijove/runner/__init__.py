"""Runs a promoted notebook: its parameters, papermill's engine, the process around them."""
