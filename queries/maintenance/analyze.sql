-- :result :script
-- Let the database count what the tables hold, so that it plans queries well.
ANALYZE;
