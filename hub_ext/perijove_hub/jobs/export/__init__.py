"""Jobs as other schedulers have them."""
