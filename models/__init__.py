"""The networks, in torch: one file per idea."""
