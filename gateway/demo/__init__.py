"""A simulated shop: seeded customers, played as bytes into the real drivers. No mock of our own code."""
