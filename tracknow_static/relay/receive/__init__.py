"""What Stripe sends: read, verified and understood."""
