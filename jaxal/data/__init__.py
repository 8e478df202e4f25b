"""A name or a path to a data set, and its disjoint parts."""
