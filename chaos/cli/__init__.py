"""The `linkstorm` command line."""
