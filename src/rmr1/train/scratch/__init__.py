"""A tokenizer and a model made anew from a recipe, for judges that are trained from nothing."""
