"""The parts of ``make demo``: a visitor's way from a landing page to Stripe, step by step."""
