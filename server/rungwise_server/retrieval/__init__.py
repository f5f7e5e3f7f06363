"""Finding passages: `embedders`, term weights (`sparse`), `indexes`, and `hybrid`, which asks them and blends."""
