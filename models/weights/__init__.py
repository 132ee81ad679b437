"""Pretrained weights: `hub` gets those that timm publishes, `files` reads and loads those of a file."""
