"""The engine: what an experiment is, how it is run, and how its events become a verdict."""
