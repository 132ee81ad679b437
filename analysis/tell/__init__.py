"""The answer, tables, pictures and the report."""
