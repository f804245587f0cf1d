"""From raw preferences to a measured judge: the stages of `rmr1 train`, each an ordinary command."""
