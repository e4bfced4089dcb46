"""The parts of ``make demo``: a visitor buys in two sample shops, step by step."""
