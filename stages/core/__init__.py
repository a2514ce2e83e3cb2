"""What every stage shares: params, cells, files, seeding, errors and the terminal. Imports no stage."""
