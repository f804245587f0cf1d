"""Training data from named sources: filtered, decontaminated, mixed, balanced and split, with a card that says how.

    recipe ──> scan (filters, benchmarks, digests) ──> choose (duplicates, mix) ──> splits, sides ──> write, card

`run_curation` is what `rmr1 curate` calls. Sources are read twice, row by row; what is kept of a pair between the
two readings are digests, lengths and MinHash signatures, never its texts.
"""
