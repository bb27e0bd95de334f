"""What a statement's own words tell, for databases that do not: which columns its parameters and results meet."""
