"""The stack as plain processes from wheels."""
