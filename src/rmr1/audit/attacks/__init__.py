"""Injections in answers: what they try, whether rendering makes them inert, and whether they move a judge."""
