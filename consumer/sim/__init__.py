"""A seeded world of faults that drives the consumer's own core, and an oracle that judges the outcome."""
