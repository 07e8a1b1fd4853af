"""A page on loopback that shows faces on a head: live, from a recording, or into a film."""
