"""Networks and their preprocessing."""
