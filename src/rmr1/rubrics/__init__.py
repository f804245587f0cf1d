"""The criteria of judging runs: what they are, how much they weigh, and which of them decide."""
