"""Wire types: the one definition of every message, from which OpenAPI and TypeScript come."""
