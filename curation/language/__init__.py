"""The language of diets: expressions, rules and window rules as trees, and how they are spelled."""
