"""How ToyVOC is drawn: paint, the twenty things, the places, and who stands where. `pnoc_lib.toyvoc` is the way in."""
