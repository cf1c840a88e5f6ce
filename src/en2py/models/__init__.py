"""The Transformer, its fast paths and the vectors that its token tables start from."""
