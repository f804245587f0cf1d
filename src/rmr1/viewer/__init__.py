"""A run folder as pages for a browser."""
