"""Parallel text as arrays of token positions, tokenised once; no torch."""
