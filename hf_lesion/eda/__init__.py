"""Exploratory data analysis of a prepared dataset: its table, figures, report and summary."""
