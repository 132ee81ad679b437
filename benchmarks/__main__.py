"""Run all benchmarks: python -m benchmarks"""

from benchmarks.suite import main  # in a module of its own, because a spawned process cannot import this one

if __name__ == "__main__":
    main()
