"""Where events and their deliveries are kept."""
