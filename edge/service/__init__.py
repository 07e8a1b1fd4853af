"""What a running ``edge-run`` tells systemd, the journal, Prometheus and a terminal."""
