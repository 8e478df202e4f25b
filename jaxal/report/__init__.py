"""Statistics, figures, tables, pages."""
