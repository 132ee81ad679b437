"""The project's own figures, each a ratio measured within one run: `python -m benchmarks.NAME`, or all: `make bench`.

A benchmark is a file here with a function `run()` that yields its figures. Contestants take turns within the run, so
that a disturbance of the machine affects all of them.
"""
