"""What the end-to-end run is made of: installing, starting, watching and stopping real parts.

Standard library only: `run.py` uses it before any virtual environment exists, the tests use it after.
"""
