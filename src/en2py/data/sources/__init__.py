"""Where pairs come from: each module is one source with one function that yields pairs."""
