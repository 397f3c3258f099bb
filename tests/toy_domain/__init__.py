"""A complete domain in a few lines, for tests of the engine."""
