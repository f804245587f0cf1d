"""A judge's text -> what it says: rules, trace, rubric, ratings, stop rule and grounding. Pure: text in, records out."""

from rmr1.verdicts.rules import RULES, parse_verdict

__all__ = ["RULES", "parse_verdict"]
