"""From a space's YAML to a checked StudySpec."""
