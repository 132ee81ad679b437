"""`python -m analysis table results/digits_compare` prints the table of the study."""

from analysis.cli import main

main()
