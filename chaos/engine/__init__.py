"""The control flow of a run: load, faults, observation, announcements."""
