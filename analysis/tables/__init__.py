"""Evidence to tables, and tables to text, Markdown, LaTeX, CSV and HTML."""
