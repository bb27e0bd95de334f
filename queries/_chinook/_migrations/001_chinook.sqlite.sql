-- The tables of the Chinook music shop.
CREATE TABLE artist (
    artist_id integer PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE album (
    album_id integer PRIMARY KEY,
    title text NOT NULL,
    artist_id integer NOT NULL REFERENCES artist,
    UNIQUE (artist_id, title)
);

CREATE TABLE genre (
    genre_id integer PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE media_type (
    media_type_id integer PRIMARY KEY,
    name text NOT NULL UNIQUE
);

CREATE TABLE track (
    track_id integer PRIMARY KEY,
    name text NOT NULL,
    album_id integer REFERENCES album,
    media_type_id integer NOT NULL REFERENCES media_type,
    genre_id integer REFERENCES genre,
    composer text,
    milliseconds integer NOT NULL CHECK (milliseconds > 0),
    bytes bigint CHECK (bytes >= 0),
    unit_price numeric(10, 2) NOT NULL CHECK (unit_price >= 0)
);
CREATE INDEX track_album_id ON track (album_id);
CREATE INDEX track_media_type_id ON track (media_type_id);
CREATE INDEX track_genre_id ON track (genre_id);

CREATE TABLE playlist (
    playlist_id integer PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE playlist_track (
    playlist_id integer NOT NULL REFERENCES playlist ON DELETE CASCADE,
    track_id integer NOT NULL REFERENCES track,
    PRIMARY KEY (playlist_id, track_id)
);
CREATE INDEX playlist_track_track_id ON playlist_track (track_id);

CREATE TABLE employee (
    employee_id integer PRIMARY KEY,
    last_name text NOT NULL,
    first_name text NOT NULL,
    title text,
    reports_to integer REFERENCES employee,
    birth_date timestamp,
    hire_date timestamp,
    address text,
    city text,
    state text,
    country text,
    postal_code text,
    phone text,
    fax text,
    email text NOT NULL UNIQUE
);
CREATE INDEX employee_reports_to ON employee (reports_to);

CREATE TABLE customer (
    customer_id integer PRIMARY KEY,
    first_name text NOT NULL,
    last_name text NOT NULL,
    company text,
    address text,
    city text,
    state text,
    country text,
    postal_code text,
    phone text,
    fax text,
    email text NOT NULL UNIQUE,
    support_rep_id integer REFERENCES employee
);
CREATE INDEX customer_support_rep_id ON customer (support_rep_id);

CREATE TABLE invoice (
    invoice_id integer PRIMARY KEY,
    customer_id integer NOT NULL REFERENCES customer,
    invoice_date timestamp NOT NULL,
    billing_address text,
    billing_city text,
    billing_state text,
    billing_country text,
    billing_postal_code text,
    total numeric(10, 2) NOT NULL DEFAULT 0 CHECK (total >= 0)
);
CREATE INDEX invoice_customer_id ON invoice (customer_id, invoice_date);
CREATE INDEX invoice_invoice_date ON invoice (invoice_date);

CREATE TABLE invoice_line (
    invoice_line_id integer PRIMARY KEY,
    invoice_id integer NOT NULL REFERENCES invoice ON DELETE CASCADE,
    track_id integer NOT NULL REFERENCES track,
    unit_price numeric(10, 2) NOT NULL CHECK (unit_price >= 0),
    quantity integer NOT NULL DEFAULT 1 CHECK (quantity > 0)
);
CREATE INDEX invoice_line_invoice_id ON invoice_line (invoice_id);
CREATE INDEX invoice_line_track_id ON invoice_line (track_id);
