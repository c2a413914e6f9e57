"""``perijove up``: every part on one machine, supervised."""
