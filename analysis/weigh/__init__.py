"""Statistics and trade-offs: frames in, frames out, nothing drawn."""
