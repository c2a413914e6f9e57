"""Everything Perijove must not lose, in one file and back again."""
