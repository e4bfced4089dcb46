"""Affiliate attribution for static sites: the click id reaches Stripe."""

__version__ = "0.1.0"
