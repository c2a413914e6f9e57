"""Images: what may start, how new ones are built, and what is in them."""
