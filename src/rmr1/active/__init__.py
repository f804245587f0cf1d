"""Which judgments are worth a person's time, what people are asked, and what their answers become."""
