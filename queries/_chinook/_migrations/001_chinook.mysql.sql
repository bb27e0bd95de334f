-- The tables of the Chinook music shop.
-- Names compare byte by byte, so that they sort and are equal as in the other databases.
CREATE TABLE artist (
    artist_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name varchar(200) NOT NULL UNIQUE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE album (
    album_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    title varchar(200) NOT NULL,
    artist_id int NOT NULL,
    UNIQUE (artist_id, title),
    FOREIGN KEY (artist_id) REFERENCES artist (artist_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE genre (
    genre_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name varchar(200) NOT NULL UNIQUE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE media_type (
    media_type_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name varchar(200) NOT NULL UNIQUE
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE track (
    track_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name varchar(200) NOT NULL,
    album_id int,
    media_type_id int NOT NULL,
    genre_id int,
    composer varchar(255),
    milliseconds int NOT NULL CHECK (milliseconds > 0),
    bytes bigint CHECK (bytes >= 0),
    unit_price numeric(10, 2) NOT NULL CHECK (unit_price >= 0),
    FOREIGN KEY (album_id) REFERENCES album (album_id),
    FOREIGN KEY (media_type_id) REFERENCES media_type (media_type_id),
    FOREIGN KEY (genre_id) REFERENCES genre (genre_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE playlist (
    playlist_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    name varchar(200) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE playlist_track (
    playlist_id int NOT NULL,
    track_id int NOT NULL,
    PRIMARY KEY (playlist_id, track_id),
    FOREIGN KEY (playlist_id) REFERENCES playlist (playlist_id) ON DELETE CASCADE,
    FOREIGN KEY (track_id) REFERENCES track (track_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE employee (
    employee_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    last_name varchar(40) NOT NULL,
    first_name varchar(40) NOT NULL,
    title varchar(60),
    reports_to int,
    birth_date datetime,
    hire_date datetime,
    address varchar(120),
    city varchar(60),
    state varchar(60),
    country varchar(60),
    postal_code varchar(20),
    phone varchar(40),
    fax varchar(40),
    email varchar(120) NOT NULL UNIQUE,
    FOREIGN KEY (reports_to) REFERENCES employee (employee_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE customer (
    customer_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    first_name varchar(40) NOT NULL,
    last_name varchar(40) NOT NULL,
    company varchar(120),
    address varchar(120),
    city varchar(60),
    state varchar(60),
    country varchar(60),
    postal_code varchar(20),
    phone varchar(40),
    fax varchar(40),
    email varchar(120) NOT NULL UNIQUE,
    support_rep_id int,
    FOREIGN KEY (support_rep_id) REFERENCES employee (employee_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE invoice (
    invoice_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    customer_id int NOT NULL,
    invoice_date datetime NOT NULL,
    billing_address varchar(120),
    billing_city varchar(60),
    billing_state varchar(60),
    billing_country varchar(60),
    billing_postal_code varchar(20),
    total numeric(10, 2) NOT NULL DEFAULT 0 CHECK (total >= 0),
    INDEX invoice_customer_id (customer_id, invoice_date),
    INDEX invoice_invoice_date (invoice_date),
    FOREIGN KEY (customer_id) REFERENCES customer (customer_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE invoice_line (
    invoice_line_id int NOT NULL AUTO_INCREMENT PRIMARY KEY,
    invoice_id int NOT NULL,
    track_id int NOT NULL,
    unit_price numeric(10, 2) NOT NULL CHECK (unit_price >= 0),
    quantity int NOT NULL DEFAULT 1 CHECK (quantity > 0),
    FOREIGN KEY (invoice_id) REFERENCES invoice (invoice_id) ON DELETE CASCADE,
    FOREIGN KEY (track_id) REFERENCES track (track_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin;
