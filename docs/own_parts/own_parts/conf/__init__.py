"""Config groups: `hydra.searchpath=[pkg://own_parts.conf]`."""
