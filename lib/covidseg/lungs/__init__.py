"""Where the lungs are: a small network of the kit's own, trained on phantoms, and what follows from its mask."""
