"""Translation: settings, data, epoch loop and profile of the task."""
