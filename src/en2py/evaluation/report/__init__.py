"""Pages that tell what a comparison found, made from its `Results` alone."""
