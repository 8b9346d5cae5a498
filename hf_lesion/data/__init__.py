"""Data: HAM10000 as a leak-free `datasets` dataset."""
