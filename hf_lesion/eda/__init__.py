"""Exploratory data analysis of a prepared dataset: table, figures, report and summary."""
