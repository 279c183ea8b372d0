"""From rules and a table of neurons to who is kept: three-valued answers, samples, matched controls."""
