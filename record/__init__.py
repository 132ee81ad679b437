"""The ground floor: what a study writes down, known to who writes it and to who reads it. No torch, ray, optuna or pandas."""
