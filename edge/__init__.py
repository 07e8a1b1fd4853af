"""What runs on the kiosk: audio in, faces out. No torch."""
