"""What ``perijove up --demo`` adds: real data to find, and a notebook that uses it."""
