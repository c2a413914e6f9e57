"""What ran for whom and what it cost, and how much a group may use."""
