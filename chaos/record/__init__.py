"""The run directory: written, read back, kept on disk column by column."""
