"""Runs of one job in search of the parameters with the best metric."""
