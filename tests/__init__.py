"""Tests, and what runs real servers for them (`tests.servers`)."""
