"""Backfill: events that Stripe has and the relay does not, fetched from Stripe's API."""
