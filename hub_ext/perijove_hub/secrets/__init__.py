"""Secrets: kept encrypted, handed to the runs of their owner, shown to nobody."""
