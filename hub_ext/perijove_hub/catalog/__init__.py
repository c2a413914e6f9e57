"""The catalog: configured sources, crawled into the store, queried read-only."""
