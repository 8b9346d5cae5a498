"""HAM10000 files become a leak-free `datasets` dataset."""
