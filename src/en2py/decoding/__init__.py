"""Search for programs: greedy, beam search, sampling."""
