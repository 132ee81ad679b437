"""From an image file or a sentence to what a model reads, defined once: training, evaluation and exported models agree."""
