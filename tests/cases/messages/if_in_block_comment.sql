SELECT * FROM invoice
/* @if x */
WHERE a = :x
