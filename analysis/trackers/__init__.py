"""A study's trials for other tools."""
