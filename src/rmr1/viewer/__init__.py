"""A local web application to read judgments in (`rmr1 view`)."""
