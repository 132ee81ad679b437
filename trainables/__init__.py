"""What a study trains: data sets, the epoch loop of each task, and the thin Ray Trainable around it."""
