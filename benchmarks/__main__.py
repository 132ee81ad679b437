"""Run all benchmarks: python -m benchmarks"""

from benchmarks.suite import main  # a module of its own, since a spawned process cannot import this one

if __name__ == "__main__":
    main()
