"""report: one page, one text, figures and tables, made only from files in git; never from images or weights."""
