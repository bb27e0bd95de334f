/*
 * One artist.
 * @param artist_id int
 */
SELECT * FROM artist WHERE artist_id = :artist_id;
