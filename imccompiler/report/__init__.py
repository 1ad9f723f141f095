"""What the user reads: report.json and its schema, tables, the HTML page and the trace."""
