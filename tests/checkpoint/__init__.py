"""A small judge checkpoint for the tests that need a real engine, trained from nothing."""
