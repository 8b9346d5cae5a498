"""Exploratory data analysis of a prepared dataset: table, figures and report."""
