-- name: load_artist*!
-- @timeout 60s
INSERT INTO artist (artist_id, name)
VALUES (:artist_id, :name);

-- name: load_album*!
-- @timeout 60s
INSERT INTO album (album_id, title, artist_id)
VALUES (:album_id, :title, :artist_id);

-- name: load_genre*!
-- @timeout 60s
INSERT INTO genre (genre_id, name)
VALUES (:genre_id, :name);

-- name: load_media_type*!
-- @timeout 60s
INSERT INTO media_type (media_type_id, name)
VALUES (:media_type_id, :name);

-- name: load_track*!
-- @timeout 60s
-- @param album_id integer? = null
-- @param genre_id integer? = null
-- @param composer text? = null
-- @param bytes bigint? = null
INSERT INTO track (track_id, name, album_id, media_type_id, genre_id, composer, milliseconds, bytes, unit_price)
VALUES (:track_id, :name, :album_id, :media_type_id, :genre_id, :composer, :milliseconds, :bytes, :unit_price);

-- name: load_playlist*!
-- @timeout 60s
INSERT INTO playlist (playlist_id, name)
VALUES (:playlist_id, :name);

-- name: load_playlist_track*!
-- @timeout 60s
INSERT INTO playlist_track (playlist_id, track_id)
VALUES (:playlist_id, :track_id);

-- name: load_employee*!
-- @timeout 60s
-- @param title text? = null
-- @param reports_to integer? = null
-- @param birth_date timestamp? = null
-- @param hire_date timestamp? = null
-- @param address text? = null
-- @param city text? = null
-- @param state text? = null
-- @param country text? = null
-- @param postal_code text? = null
-- @param phone text? = null
-- @param fax text? = null
INSERT INTO employee (
    employee_id, last_name, first_name, title, reports_to, birth_date, hire_date, address, city, state,
    country, postal_code, phone, fax, email
) VALUES (
    :employee_id, :last_name, :first_name, :title, :reports_to, :birth_date, :hire_date, :address, :city,
    :state, :country, :postal_code, :phone, :fax, :email
);

-- name: load_customer*!
-- @timeout 60s
-- @param company text? = null
-- @param address text? = null
-- @param city text? = null
-- @param state text? = null
-- @param country text? = null
-- @param postal_code text? = null
-- @param phone text? = null
-- @param fax text? = null
-- @param support_rep_id integer? = null
INSERT INTO customer (
    customer_id, first_name, last_name, company, address, city, state, country, postal_code, phone, fax,
    email, support_rep_id
) VALUES (
    :customer_id, :first_name, :last_name, :company, :address, :city, :state, :country, :postal_code, :phone,
    :fax, :email, :support_rep_id
);

-- name: load_invoice*!
-- @timeout 60s
-- @param billing_address text? = null
-- @param billing_city text? = null
-- @param billing_state text? = null
-- @param billing_country text? = null
-- @param billing_postal_code text? = null
INSERT INTO invoice (
    invoice_id, customer_id, invoice_date, billing_address, billing_city, billing_state, billing_country,
    billing_postal_code, total
) VALUES (
    :invoice_id, :customer_id, :invoice_date, :billing_address, :billing_city, :billing_state,
    :billing_country, :billing_postal_code, :total
);

-- name: load_invoice_line*!
-- @timeout 60s
INSERT INTO invoice_line (invoice_line_id, invoice_id, track_id, unit_price, quantity)
VALUES (:invoice_line_id, :invoice_id, :track_id, :unit_price, :quantity);
