"""A study folder as typed frames."""
