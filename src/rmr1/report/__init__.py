"""Judgments for people."""
