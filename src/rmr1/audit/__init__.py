"""Judgments -> what can be checked in them: quotations and their places, and which judgments are wanted. Pure."""
