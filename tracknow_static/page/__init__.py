"""Built HTML: where the tag goes, what leads to Stripe, one pass over a site."""
