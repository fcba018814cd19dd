"""Commands that the shortener's own performance gate needs beside `perf.toml`."""
