"""Looking at and ending studies from outside: their progress, logs, live page, and jobs on a cluster."""
