"""Search for programs: greedy, beam search, sampling; batched, with a key-value cache.

Each search takes a model, source ids `[B, S]` and the target vocabulary, and returns the hypotheses
of every source, best first. Sources whose hypotheses are finished leave the batch. PAD and BOS are
never generated. Greedy and beam search also accept an engine, which searches in place of the model.

Shape letters: B sources, S source length, V target vocabulary, R rows that are not finished,
W hypotheses per source.
"""
