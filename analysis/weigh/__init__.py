"""Statistics and trade-offs: frames in, frames out, no pictures."""
