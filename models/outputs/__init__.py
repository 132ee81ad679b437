"""From a model to what a person reads: decoded translations, attention maps."""
