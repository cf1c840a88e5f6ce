"""From raw text to batches of ids; nothing here knows a model."""
