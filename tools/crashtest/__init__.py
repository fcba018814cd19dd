"""The soak: labs ended in every way at random moments, and whatever they leave looked for."""
