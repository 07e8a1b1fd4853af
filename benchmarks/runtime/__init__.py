"""Cost, latency and endurance of the runtime."""
