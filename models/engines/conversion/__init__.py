"""From a network of torch's to what other engines read."""
