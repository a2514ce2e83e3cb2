"""report: one page, one text, figures and tables from what lives in git; never from images or weights."""
