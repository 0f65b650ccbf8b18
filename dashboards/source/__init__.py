"""The dashboards, declared: `kit` has the words, `json_model` makes Grafana's JSON of them, the others are one dashboard each."""
