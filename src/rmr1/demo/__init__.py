"""Hand-written example pairs and judgments, replayed by `rmr1 demo`."""
