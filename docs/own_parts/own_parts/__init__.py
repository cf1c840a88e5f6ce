"""An own loss and an own data source for en2py, with their config groups: see docs/own_parts.md."""
