"""Two-teacher distillation: labelled pairs -> judgments that were checked -> rows to fine-tune a judge on.

    recipe ──> items ──> ask: pass 1 ──> ask: pass 2 ──> checks ──> rows
               pairs     teacher one     teacher two,     of each    train.jsonl
               in order                  told the         text       dropped.jsonl
                                         verdict                     summary.json

The method is RM-R1's (arXiv 2505.02387, section 3.2). What the reference leaves out is done here: what the
second teacher writes is checked again, and the prompt that is stored never holds the verdict.
`run_distill` is what `rmr1 distill run` calls.
"""
