"""The edge: one module for each system outside."""
