"""Scores, class groups, tables, pictures and curves."""
