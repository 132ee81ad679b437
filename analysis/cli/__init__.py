"""The command line over study folders."""
