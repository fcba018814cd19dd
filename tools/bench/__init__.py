"""What a redirect costs: our own beside the least that the same server can do, on one core."""
