"""From files and sentences to what a model takes; training, evaluation and exported models agree through these."""
