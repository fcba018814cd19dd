"""Faults that inject, undo and prove themselves, one kind each."""
