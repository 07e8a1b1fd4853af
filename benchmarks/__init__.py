"""Measurements that write JSON with git hash, bundle hash and machine."""
