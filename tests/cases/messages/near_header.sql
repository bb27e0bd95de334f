-- Name: get_artist^
-- Name: of the artist, which is no header
SELECT 1 AS x
