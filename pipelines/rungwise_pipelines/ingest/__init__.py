"""From sources to the index: what a source holds, cut into passages, embedded, and kept equal to it run after run."""
