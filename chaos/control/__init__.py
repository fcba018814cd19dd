"""The control API: faults and runs of one lab over HTTP, for a page or another process."""
