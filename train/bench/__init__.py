"""Times of networks beside those of others: `zoo bench` and `benchmarks/speed.py`."""
