"""`xor-fast sim torture`: everything that may go wrong at once, and what must hold all the same."""
