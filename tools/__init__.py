"""Programs that measure and test the project itself."""
