"""Judgments -> what can be checked in them: quotations and their places, which are wanted, whether their judge is to be
trusted. Pure."""
