"""Evidence in, verdict out: checks, claims, predictions, results. No I/O."""
