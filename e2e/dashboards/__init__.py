"""Checks dashboards and rules against a real Prometheus, and draws them: `make observe`."""
