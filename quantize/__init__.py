"""The toolchain: recordings to a bundle that ``edge`` runs."""
