"""What several models are made of: attention, Transformer blocks, token merging, number formats."""
