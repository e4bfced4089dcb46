"""What `make` calls: installing, testing, benchmarks, the demo, documents made from code."""
