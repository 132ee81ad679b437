"""Pretrained weights, from a hub or a file."""
