SELECT ?, $x, @y, ?1, :p.name, sqlc.arg(z), sqlc.narg('w')
