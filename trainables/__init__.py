"""What a study trains: data sets, one folder per task with its epoch loop, and the thin Ray Trainable around it."""
