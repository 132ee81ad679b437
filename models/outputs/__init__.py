"""From a model to what a person reads: decoded sentences, attention maps."""
