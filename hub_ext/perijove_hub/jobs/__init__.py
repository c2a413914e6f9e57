"""Jobs: promoted notebooks, their versions, schedules and runs."""
