"""Ranking: several answers to one question put in order by comparisons, of which a judge makes as few as it can.

`methods` are the plans of which comparisons come next, `contest` carries one out for a question, `waves` asks a judge
about many questions at once, `record` is what comes out and `run` keeps it in a run folder.
"""
