"""One module or more per benchmark: how its data are read and its score is computed."""
