"""Break the product or the lab in one place on purpose, and see that a run says so."""
