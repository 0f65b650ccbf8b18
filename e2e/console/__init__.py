"""The console in a real browser: its tests, and its portraits."""
