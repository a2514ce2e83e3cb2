"""Code that stages share: params, cells, files, seeding, errors and the terminal. Imports no stage."""
