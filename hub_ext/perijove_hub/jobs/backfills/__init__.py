"""One run of a job for every slot of a range, a few at a time."""
