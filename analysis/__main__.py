"""`python -m analysis table results/digits_compare` prints the table of the study."""

from analysis.cli.main import main

main()
