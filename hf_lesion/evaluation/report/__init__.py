"""Evaluation reports: the record, its tables, figures and pages."""
