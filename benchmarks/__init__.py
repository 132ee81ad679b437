"""The project's own figures, each a ratio that is measured in one run: `python -m benchmarks.NAME`, or all: `make bench`.

A benchmark is a file here with a function `run()` that yields its figures. Contestants take turns within the run, so that
whatever disturbs the machine disturbs all of them.
"""
