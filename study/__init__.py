"""What is searched and how it runs: spaces, search, ledger, phases."""
