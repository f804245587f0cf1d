"""Wire formats, one file each: what a client sends, and what it is answered."""
