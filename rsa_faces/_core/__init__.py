"""What everything stands on: errors, checks, files, tables, names, progress, results."""
