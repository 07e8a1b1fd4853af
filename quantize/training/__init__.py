"""Training streams to teachers, and teachers to the student."""
