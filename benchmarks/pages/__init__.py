"""JSON records to the tables and plots of README.md and docs/."""
