"""The merchant's Stripe account: event destinations, signing secrets, payment links."""
