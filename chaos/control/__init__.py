"""The control API: the faults and runs of one lab, over HTTP, for a page or another process."""
