"""The machine's GPUs: which there are, and who holds them."""
