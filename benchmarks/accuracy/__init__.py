"""How true and how legible the faces are, beside what else could move a face."""
